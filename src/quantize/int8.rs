//! Int8 modes: as users name them, and as calibration finds them.

use std::collections::BTreeMap;
use std::path::Path;

use dino_kernels::Int8Range;
use dino_models::format::ModelFile;
use dino_models::{Int8, Int8Layer};
use dino_quant::calibration::{Calibration, Collector, InputStats, Observer};
use dino_quant::{column_magnitudes, smoothing_factors};

use super::{Calibrator, QuantizeError};
use crate::ModelBuilder;

/// Reads the int8 mode that a file holds: one with a model, or one with the mode alone.
///
/// # Errors
/// [`QuantizeError::Format`] if the file cannot be read; [`QuantizeError::Model`] if what it says is no such mode;
/// [`QuantizeError::NoInt8`] if it says nothing.
pub fn read_int8(path: impl AsRef<Path>) -> Result<Int8, QuantizeError> {
    let path = path.as_ref();
    let file = ModelFile::open(path)?;
    let stored = Int8::stored(&file.metadata).map_err(crate::Error::from)?;
    stored.ok_or_else(|| QuantizeError::NoInt8 { file: path.into() })
}

/// The mode called `text`: `dynamic`, `asymmetric` (dynamic with a zero point for each token), or the file that holds one.
///
/// # Errors
/// As those of [`read_int8`].
pub fn int8_mode(text: &str) -> Result<Int8, QuantizeError> {
    match text {
        "dynamic" => Ok(Int8::dynamic(true)),
        "asymmetric" => Ok(Int8::dynamic(false)),
        path => read_int8(path),
    }
}

/// Codes of an input, -127 to 127.
const CODES: u32 = 255;

/// What an int8 mode is to be made of.
#[derive(Clone, Copy, Debug)]
pub struct Int8Options {
    /// How static ranges are chosen; `None` leaves them to each token, at run time.
    pub observer: Option<Observer>,
    /// Whether ranges are the same on both sides of 0.
    pub symmetric: bool,
    /// How much of the difficulty of outliers goes into the weights, 0 to 1; `None` moves nothing.
    pub smooth: Option<f32>,
    /// Tokens of a piece of text.
    pub chunk: usize,
    /// Pieces at most.
    pub chunks: usize,
}

impl Default for Int8Options {
    fn default() -> Self {
        Self {
            observer: Some(Observer::Mse),
            symmetric: false,
            smooth: Some(0.5),
            chunk: 512,
            chunks: 64,
        }
    }
}

/// Finds the int8 mode of a model, opened twice, by a text; calls `report` with the pieces that were read and all. Smoothing reads the text
/// twice: ranges are those of the smoothed inputs.
///
/// # Errors
/// If the model cannot be loaded or run, or the text is too short.
pub fn calibrate_int8(
    builder: &ModelBuilder,
    files: [ModelFile; 2],
    (name, text): (&Path, &str),
    options: Int8Options,
    mut report: impl FnMut(usize, usize),
) -> Result<Int8, QuantizeError> {
    let passes = if options.smooth.is_some() { 2 } else { 1 };
    let mut pass = |number: usize, file, collector| {
        let (builder, chunk) = (builder.clone(), options.chunk);
        let mut calibrator = Calibrator::with_collector(builder, file, chunk, collector)?;
        calibrator.read(name, text, options.chunks, |done, all| {
            report(number * all + done, passes * all);
        })?;
        Ok::<_, QuantizeError>(calibrator.finish())
    };
    let [first, second] = files;
    let seen = pass(0, first, Collector::new().with_histograms())?;
    let Some(alpha) = options.smooth else {
        return Ok(int8_of(&seen, &BTreeMap::new(), options));
    };
    let factors = factors(&second, &seen, alpha)?;
    let collector = Collector::new()
        .with_histograms()
        .divided_by(factors.clone());
    let smoothed = pass(1, second, collector)?;
    Ok(int8_of(&smoothed, &factors, options))
}

/// Whether an int8 mode says something of a weight: the head and the embeddings have none, and experts find their ranges
/// themselves.
fn is_static(weight: &str, stats: &InputStats) -> bool {
    let is_outside = ["output.weight", "token_embd.weight"].contains(&weight);
    stats.counts.len() == 1 && !is_outside && !weight.contains("_inp")
}

/// The smoothing factors of each weight, equal for those that share an input.
fn factors(
    file: &ModelFile,
    seen: &Calibration,
    alpha: f32,
) -> Result<BTreeMap<String, Vec<f32>>, QuantizeError> {
    let mut factors = BTreeMap::new();
    for group in seen.shared_inputs() {
        let stats = &seen.inputs[group[0]];
        // What chooses experts reads the same rows, but as they are.
        let own = group.into_iter().filter(|weight| is_static(weight, stats));
        let own: Vec<&str> = own.collect();
        let mut greatest = vec![0.0_f32; stats.greatest.len()];
        for weight in &own {
            let columns = column_magnitudes(&file.weights.get(weight)?);
            let pairs = greatest.iter_mut().zip(&columns);
            pairs.for_each(|(greatest, column)| *greatest = greatest.max(*column));
        }
        let of_group = smoothing_factors(&stats.greatest, &greatest, alpha);
        factors.extend(
            own.into_iter()
                .map(|weight| (weight.to_owned(), of_group.clone())),
        );
    }
    Ok(factors)
}

/// The mode that statistics give. Those of smoothed inputs are the statistics after smoothing by `factors`.
fn int8_of(seen: &Calibration, factors: &BTreeMap<String, Vec<f32>>, options: Int8Options) -> Int8 {
    let mut int8 = Int8::dynamic(options.symmetric);
    for group in seen.shared_inputs() {
        let stats = &seen.inputs[group[0]];
        let weights = group.into_iter().filter(|weight| is_static(weight, stats));
        let weights: Vec<String> = weights.map(str::to_owned).collect();
        let Some(first) = weights.first() else {
            continue;
        };
        let factors = factors.get(first).cloned().unwrap_or_default();
        let token = Int8Range::Token {
            symmetric: options.symmetric,
        };
        let range = options
            .observer
            .and_then(|observer| fixed(observer.range(stats, CODES)?, options.symmetric));
        int8 = int8.with(Int8Layer {
            weights,
            range: range.unwrap_or(token),
            factors,
        });
    }
    int8
}

/// Scale and zero point of a range of values; `None` if no scale is that small.
fn fixed([least, greatest]: [f32; 2], symmetric: bool) -> Option<Int8Range> {
    let (scale, zero_point) = if symmetric {
        (greatest.max(-least) / 127.0, 0)
    } else {
        let scale = (greatest - least) / 254.0;
        (scale, (-127.0 - least / scale).round_ties_even() as i32)
    };
    let fits = scale.is_normal() && scale.recip().is_normal();
    fits.then_some(Int8Range::Tensor { scale, zero_point })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ends of a range get the lowest and the highest code, and 0 an integer.
    #[test]
    fn a_range_becomes_a_scale_and_a_zero_point() {
        let found = fixed([-1.0, 3.0], false);
        let (scale, zero_point) = (4.0 / 254.0, -64);
        assert_eq!(found, Some(Int8Range::Tensor { scale, zero_point }));
        let (scale, zero_point) = (3.0 / 127.0, 0);
        assert_eq!(
            fixed([-1.0, 3.0], true),
            Some(Int8Range::Tensor { scale, zero_point })
        );
        assert_eq!(fixed([-1e-45, 0.0], false), None);
    }
}
