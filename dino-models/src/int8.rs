//! Which linear layers run on plain 8-bit integers, and how their inputs are rounded.

use crate::ModelError;
use crate::arch::check;
use crate::format::{Metadata, StringArray};
use dino_kernels::{Int8Input, Int8Range, PackedWeight};
use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The int8 mode of a model: its linear layers run on plain 8-bit integers, all but the head and what chooses experts.
///
/// *Dynamic* by default: weights get one scale for each output channel while the model is loaded, and inputs one for each
/// token while it runs. [`Int8::with`] gives layers what calibration found: a *static* scale, factors that smooth the channels
/// of an input, or both. `docs/quantization.md` says what that gains and costs.
///
/// [`Int8::insert`] keeps what was found as metadata, of the model's own file or of one without tensors:
///
/// ```text
/// dino.int8.weights         [string]  names of weights, those with the same input side by side
/// dino.int8.inputs          [u32]     the input of each
/// dino.int8.scales          [f32]     the static scale of each input; 0 for one that is found at run time
/// dino.int8.zero_points     [i32]     the code of the value 0
/// dino.int8.factor_counts   [u32]     factors of each input
/// dino.int8.factors         [f32]     what channels are divided by, one input's behind the other's
/// dino.int8.symmetric       bool      whether ranges found at run time are the same on both sides of 0
/// ```
#[derive(Clone, Debug)]
pub struct Int8 {
    symmetric: bool,
    default: Arc<Int8Input>,
    layers: Vec<(Int8Layer, Arc<Int8Input>)>,
    /// By the name of the weight.
    index: HashMap<String, usize>,
}

/// Layers that share their input, and how it is rounded.
#[derive(Clone, Debug, PartialEq)]
pub struct Int8Layer {
    /// The names of their weights.
    pub weights: Vec<String>,
    /// Where the scale comes from.
    pub range: Int8Range,
    /// What channels of the input are divided by, and columns of the weights multiplied; empty for 1.
    pub factors: Vec<f32>,
}

impl Default for Int8 {
    fn default() -> Self {
        Self::dynamic(true)
    }
}

impl Int8 {
    /// All inputs get their scales at run time, one for each token.
    pub fn dynamic(symmetric: bool) -> Self {
        Self {
            symmetric,
            default: Arc::new(Int8Input::new(Int8Range::Token { symmetric })),
            layers: Vec::new(),
            index: HashMap::new(),
        }
    }

    /// Rounds the input of these layers as it says; others stay as they are.
    ///
    /// # Panics
    /// If a fixed scale or a factor is not a positive number, or a zero point is no code.
    #[must_use]
    pub fn with(mut self, layer: Int8Layer) -> Self {
        let mut input = Int8Input::new(layer.range);
        if !layer.factors.is_empty() {
            input = input.smooth(&layer.factors);
        }
        for weight in &layer.weights {
            self.index.insert(weight.clone(), self.layers.len());
        }
        self.layers.push((layer, Arc::new(input)));
        self
    }

    /// The layers that calibration said something of.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = &Int8Layer> {
        self.layers.iter().map(|(layer, _)| layer)
    }

    /// How many of the inputs that calibration said something of have fixed ranges.
    pub fn fixed(&self) -> usize {
        let is_fixed = |layer: &&Int8Layer| matches!(layer.range, Int8Range::Tensor { .. });
        self.layers().filter(is_fixed).count()
    }

    /// Whether a weight of this name and so many columns is run in this mode.
    pub(crate) fn takes(&self, weight: &str, columns: usize) -> bool {
        // What chooses experts is small, and a choice is nothing that errors average out of.
        let chooses = weight.ends_with("_inp.weight") || weight.ends_with("_inp_shexp.weight");
        PackedWeight::fits_int8(columns) && !chooses
    }

    /// How the input of a weight is rounded, and what its columns are multiplied by.
    pub(crate) fn of(&self, weight: &str) -> (&Arc<Int8Input>, Option<&[f32]>) {
        match self.index.get(weight) {
            Some(&index) => {
                let (layer, input) = &self.layers[index];
                let factors = Some(&*layer.factors).filter(|factors| !factors.is_empty());
                (input, factors)
            }
            None => (&self.default, None),
        }
    }

    /// What packed weights depend on: two modes with equal identities give equal bytes.
    pub(crate) fn identity(&self) -> [u8; 32] {
        let mut sum = Sha256::new();
        sum.update(b"int8");
        for (layer, _) in &self.layers {
            for weight in &layer.weights {
                sum.update((weight.len() as u64).to_le_bytes());
                sum.update(weight);
            }
            sum.update((layer.factors.len() as u64).to_le_bytes());
            for factor in &layer.factors {
                sum.update(factor.to_le_bytes());
            }
        }
        sum.finalize().into()
    }
}

impl Int8 {
    /// Adds this to `metadata`, from which [`Int8::stored`] reads it.
    pub fn insert(&self, metadata: &mut Metadata) {
        let layers = || self.layers().enumerate();
        let weights: StringArray = self.layers().flat_map(|layer| &layer.weights).collect();
        let inputs = layers().flat_map(|(i, layer)| layer.weights.iter().map(move |_| i as u32));
        let fixed = self.layers().map(|layer| match layer.range {
            Int8Range::Tensor { scale, zero_point } => (scale, zero_point),
            Int8Range::Token { .. } => (0.0, 0),
        });
        let (scales, zero_points): (Vec<f32>, Vec<i32>) = fixed.unzip();
        let counts = self.layers().map(|layer| layer.factors.len() as u32);
        let factors = self
            .layers()
            .flat_map(|layer| layer.factors.iter().copied());
        metadata.insert("dino.int8.weights", weights);
        metadata.insert("dino.int8.inputs", inputs.collect::<Vec<u32>>());
        metadata.insert("dino.int8.scales", scales);
        metadata.insert("dino.int8.zero_points", zero_points);
        metadata.insert("dino.int8.factor_counts", counts.collect::<Vec<u32>>());
        metadata.insert("dino.int8.factors", factors.collect::<Vec<f32>>());
        metadata.insert("dino.int8.symmetric", self.symmetric);
    }

    /// What [`Int8::insert`] added; `None` if it did not.
    ///
    /// # Errors
    /// [`ModelError::Impossible`] and [`ModelError::Format`] if it is incomplete or no such mode can be.
    pub fn stored(metadata: &Metadata) -> Result<Option<Self>, ModelError> {
        if !metadata.contains("dino.int8.weights") {
            return Ok(None);
        }
        let names: &StringArray = metadata.get("dino.int8.weights")?;
        let inputs: Vec<u32> = metadata.get("dino.int8.inputs")?;
        let scales: Vec<f32> = metadata.get("dino.int8.scales")?;
        let zero_points: Vec<i32> = metadata.get("dino.int8.zero_points")?;
        let counts: Vec<u32> = metadata.get("dino.int8.factor_counts")?;
        let factors: Vec<f32> = metadata.get("dino.int8.factors")?;
        let symmetric = metadata.get("dino.int8.symmetric")?;
        let length = |key: &str, found: usize, expected: usize| {
            let expected_length = format!("{expected} values");
            let key = format!("dino.int8.{key}");
            check(metadata, &key, found, found == expected, &expected_length)
        };
        length("inputs", inputs.len(), names.len())?;
        length("zero_points", zero_points.len(), scales.len())?;
        length("factor_counts", counts.len(), scales.len())?;
        let all: usize = counts.iter().map(|&count| count as usize).sum();
        length("factors", factors.len(), all)?;
        let (mut int8, mut rest) = (Self::dynamic(symmetric), &factors[..]);
        for (index, (&scale, &zero_point)) in scales.iter().zip(&zero_points).enumerate() {
            let (own, others) = rest.split_at(counts[index] as usize);
            rest = others;
            let weights = (inputs.iter().enumerate())
                .filter(|(_, input)| **input as usize == index)
                .map(|(weight, _)| names.str(weight).unwrap_or_default().to_owned());
            int8 = int8.with(Int8Layer {
                weights: weights.collect(),
                range: range(metadata, scale, zero_point, symmetric)?,
                factors: factors_of(metadata, own)?,
            });
        }
        Ok(Some(int8))
    }
}

/// Whether a number can be divided by.
fn divides(number: f32) -> bool {
    number > 0.0 && number.is_finite() && (1.0 / number).is_finite()
}

fn range(
    metadata: &Metadata,
    scale: f32,
    zero_point: i32,
    symmetric: bool,
) -> Result<Int8Range, ModelError> {
    if scale == 0.0 {
        return Ok(Int8Range::Token { symmetric });
    }
    let fits = divides(scale);
    check(
        metadata,
        "dino.int8.scales",
        scale,
        fits,
        "positive numbers",
    )?;
    let fits = (-127..=127).contains(&zero_point);
    let key = "dino.int8.zero_points";
    check(metadata, key, zero_point, fits, "codes of -127 to 127")?;
    Ok(Int8Range::Tensor { scale, zero_point })
}

fn factors_of(metadata: &Metadata, factors: &[f32]) -> Result<Vec<f32>, ModelError> {
    let wrong = factors.iter().find(|factor| !divides(**factor));
    if let Some(&wrong) = wrong {
        check(
            metadata,
            "dino.int8.factors",
            wrong,
            false,
            "positive numbers",
        )?;
    }
    Ok(factors.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Int8 {
        let layer = |names: [&str; 2], range, factors| Int8Layer {
            weights: names.map(str::to_owned).to_vec(),
            range,
            factors,
        };
        let (scale, zero_point) = (0.25, -3);
        let fixed = Int8Range::Tensor { scale, zero_point };
        let token = Int8Range::Token { symmetric: false };
        Int8::dynamic(false)
            .with(layer(["a", "b"], fixed, vec![1.0, 2.0]))
            .with(layer(["c", "d"], fixed, Vec::new()))
            .with(layer(["e", "f"], token, vec![0.5]))
    }

    #[test]
    fn what_is_inserted_is_read_back() {
        let mut metadata = Metadata::new("test");
        assert!(Int8::stored(&metadata).unwrap().is_none());
        example().insert(&mut metadata);
        let back = Int8::stored(&metadata).unwrap().unwrap();
        assert!(back.layers().eq(example().layers()));
        assert_eq!(back.of("b"), example().of("b"));
        assert!(Arc::ptr_eq(back.of("a").0, back.of("b").0));
        assert_eq!(back.of("f").1, Some(&[0.5][..]));
        assert_eq!(back.of("else"), (&back.default, None));
    }

    #[test]
    fn impossible_values_are_errors() {
        let with = |key: &str, value: crate::format::Value| {
            let mut metadata = Metadata::new("test");
            example().insert(&mut metadata);
            metadata.insert(format!("dino.int8.{key}"), value);
            Int8::stored(&metadata).unwrap_err().to_string()
        };
        let message = with("scales", vec![0.25_f32, f32::NAN, 0.0].into());
        assert_eq!(
            message,
            "test: dino.int8.scales is NaN; expected positive numbers"
        );
        let message = with("zero_points", vec![0, 128, 0].into());
        assert!(message.contains("is 128; expected codes"), "{message}");
        let message = with("factor_counts", vec![2_u32, 0, u32::MAX].into());
        assert!(
            message.contains("dino.int8.factors is 3; expected 4294967297"),
            "{message}"
        );
        let message = with("factors", vec![1.0_f32, 0.0, 1.0].into());
        assert!(message.contains("dino.int8.factors is 0"), "{message}");
        let message = with("inputs", vec![1_u32].into());
        assert!(
            message.contains("dino.int8.inputs is 1; expected 6 values"),
            "{message}"
        );
    }
}
