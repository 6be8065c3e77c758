//! Int8 modes: as users name them, and as calibration finds them.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use dino_core::Observe;
use dino_kernels::Int8Range;
use dino_models::format::ModelFile;
use dino_models::{Int8, Int8Layer};
use dino_quant::calibration::{
    Calibration, Codes, Collector, InputStats, Observer, ObserverError, RangeTrial,
};
use dino_quant::{column_magnitudes, smoothing_factors};

use super::QuantizeError;
use super::calibrate::read;
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

/// Where the ranges of int8 layers come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Int8Ranges {
    /// From each token, at run time.
    Token,
    /// From what this observer saw, fixed.
    Static(Observer),
    /// Fixed where that loses at most so many times as much as the ranges of each token do, measured on the text, by the
    /// observer that loses least of each input; from each token elsewhere.
    Mixed(f64),
}

impl Int8Ranges {
    /// What [`Self::Mixed`] lets an input lose if nothing else is said.
    pub const BOUND: f64 = 4.0;
}

impl FromStr for Int8Ranges {
    type Err = ObserverError;

    /// `token`, `mixed`, `mixed:BOUND`, or the name of an observer.
    fn from_str(text: &str) -> Result<Self, ObserverError> {
        let bound = text.strip_prefix("mixed:").map(str::parse::<f64>);
        Ok(match (text, bound) {
            ("token", _) => Self::Token,
            ("mixed", _) => Self::Mixed(Self::BOUND),
            (_, Some(Ok(bound))) if bound >= 1.0 => Self::Mixed(bound),
            _ => Self::Static(text.parse()?),
        })
    }
}

/// What an int8 mode is to be made of.
#[derive(Clone, Copy, Debug)]
pub struct Int8Options {
    /// How ranges are chosen.
    pub ranges: Int8Ranges,
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
    /// The mode that loses least: ranges of each token, smoothed.
    fn default() -> Self {
        Self {
            ranges: Int8Ranges::Token,
            symmetric: false,
            smooth: Some(0.5),
            chunk: 512,
            chunks: 64,
        }
    }
}

/// Finds the int8 mode of a model by a text; `open` opens the model anew each time that it is read. Calls `report` with the pieces
/// that were read and all: the text is read once to see outliers, once more for fixed ranges, which are those of smoothed
/// inputs, and once more to measure these.
///
/// # Errors
/// If the model cannot be opened or run, or the text is too short.
pub fn calibrate_int8<E: From<QuantizeError>>(
    builder: &ModelBuilder,
    mut open: impl FnMut() -> Result<ModelFile, E>,
    text: &str,
    options: Int8Options,
    mut report: impl FnMut(usize, usize),
) -> Result<Int8, E> {
    let (is_fixed, smooth) = (
        options.ranges != Int8Ranges::Token,
        options.smooth.is_some(),
    );
    let is_mixed = matches!(options.ranges, Int8Ranges::Mixed(_));
    let passes = 1 + usize::from(smooth && is_fixed) + usize::from(is_mixed);
    let mut done = 0;
    let mut pass = |file, observer: Arc<dyn Observe>| {
        let model = builder.clone().observer(observer).load_file(file);
        let model = model.map_err(QuantizeError::from)?;
        let size = (options.chunk, options.chunks);
        read(&model, text, size, |at, all| {
            report(done * all + at, passes * all);
        })?;
        done += 1;
        Ok::<_, QuantizeError>(())
    };
    let first = Arc::new(Collector::new().with_histograms());
    pass(open()?, first.clone())?;
    let mut seen = first.calibration();
    let factors = match options.smooth {
        Some(alpha) => factors(&open()?, &seen, alpha)?,
        None => BTreeMap::new(),
    };
    if smooth && is_fixed {
        let smoothed = Collector::new().with_histograms();
        let smoothed = Arc::new(smoothed.divided_by(factors.clone()));
        pass(open()?, smoothed.clone())?;
        seen = smoothed.calibration();
    }
    let inputs = Inputs {
        seen: &seen,
        factors: &factors,
        symmetric: options.symmetric,
    };
    Ok(match options.ranges {
        Int8Ranges::Token => inputs.int8(|_, _| None),
        Int8Ranges::Static(observer) => inputs.int8(|_, stats| inputs.codes(observer, stats)),
        Int8Ranges::Mixed(bound) => {
            let candidates = inputs.candidates();
            let trial = RangeTrial::new(candidates.clone(), factors.clone(), options.symmetric);
            let trial = Arc::new(trial);
            pass(open()?, trial.clone())?;
            let losses = trial.losses();
            inputs.int8(|weight, _| {
                let losses = losses.get(weight)?;
                let best = losses.fixed.iter().zip(candidates.get(weight)?);
                let (loss, codes) = best.min_by(|a, b| a.0.total_cmp(b.0))?;
                (*loss <= bound * losses.token).then_some(*codes)
            })
        }
    })
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

/// What is known of a model's inputs.
struct Inputs<'a> {
    /// Of smoothed inputs, if any are.
    seen: &'a Calibration,
    factors: &'a BTreeMap<String, Vec<f32>>,
    symmetric: bool,
}

impl Inputs<'_> {
    /// The weights of each input that an int8 mode says something of.
    fn groups(&self) -> impl Iterator<Item = (Vec<String>, &InputStats)> {
        let groups = self.seen.shared_inputs().into_iter();
        groups.filter_map(|group| {
            let stats = &self.seen.inputs[group[0]];
            let weights = group.into_iter().filter(|weight| is_static(weight, stats));
            let weights: Vec<String> = weights.map(str::to_owned).collect();
            (!weights.is_empty()).then_some((weights, stats))
        })
    }

    fn codes(&self, observer: Observer, stats: &InputStats) -> Option<Codes> {
        Codes::of(observer.range(stats, CODES)?, self.symmetric)
    }

    /// What each observer would take, under the first weight of each input.
    fn candidates(&self) -> BTreeMap<String, Vec<Codes>> {
        const OBSERVERS: [Observer; 6] = [
            Observer::MinMax,
            Observer::Percentile(0.99999),
            Observer::Percentile(0.9999),
            Observer::Percentile(0.999),
            Observer::Mse,
            Observer::Entropy,
        ];
        let candidates = self.groups().map(|(weights, stats)| {
            let codes = OBSERVERS.iter().filter_map(|o| self.codes(*o, stats));
            (weights[0].clone(), codes.collect())
        });
        candidates.collect()
    }

    /// The mode whose inputs have these codes; scales of each token where there are none.
    fn int8(&self, codes: impl Fn(&str, &InputStats) -> Option<Codes>) -> Int8 {
        let symmetric = self.symmetric;
        let mut int8 = Int8::dynamic(symmetric);
        for (weights, stats) in self.groups() {
            let range = match codes(&weights[0], stats) {
                Some(Codes { scale, zero_point }) => Int8Range::Tensor { scale, zero_point },
                None => Int8Range::Token { symmetric },
            };
            let factors = self.factors.get(&weights[0]).cloned().unwrap_or_default();
            int8 = int8.with(Int8Layer {
                weights,
                range,
                factors,
            });
        }
        int8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let read = |text: &str| text.parse::<Int8Ranges>().ok();
        assert_eq!(read("token"), Some(Int8Ranges::Token));
        assert_eq!(read("mse"), Some(Int8Ranges::Static(Observer::Mse)));
        assert_eq!(read("mixed"), Some(Int8Ranges::Mixed(4.0)));
        assert_eq!(read("mixed:2.5"), Some(Int8Ranges::Mixed(2.5)));
        for wrong in ["", "mixed:", "mixed:0.5", "mixed:x", "mixed:NaN", "tokens"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
