//! What a model's linear layers see while it reads a text, and so which columns of their weights matter.
//!
//! A [`Collector`] watches a running model; [`Calibration`] is what it has seen, for each weight: the mean square and the
//! greatest magnitude of each input channel, and a histogram of all magnitudes; and how much each layer changes the residual stream.

mod collector;
mod histogram;
mod influence;

pub use collector::Collector;
pub use histogram::Histogram;
pub use influence::Influence;

use std::collections::BTreeMap;

/// Statistics of the inputs of linear layers, under the names of their weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    /// The statistics of each weight.
    pub inputs: BTreeMap<String, InputStats>,
    /// How much each layer changes the residual stream; empty if it was not recorded.
    pub layers: Vec<Influence>,
    /// The texts that were read.
    pub datasets: Vec<String>,
    /// Pieces that the texts were cut into, and tokens of each.
    pub chunks: usize,
    /// Tokens of a piece.
    pub chunk_size: usize,
}

/// What was seen of the input of one weight, or of each matrix of a stack (one for each expert).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputStats {
    /// Rows that each matrix saw.
    pub counts: Vec<f64>,
    /// Sums of the squares of each channel, `[matrices × in_features]`.
    pub sums: Vec<f64>,
    /// The greatest magnitude of each channel, `[matrices × in_features]`; empty if it was not recorded.
    pub greatest: Vec<f32>,
    /// All magnitudes; `None` if they were not recorded.
    pub histogram: Option<Histogram>,
}

impl InputStats {
    /// The mean square of each channel, `[matrices × in_features]`; 1 for all of a matrix that saw nothing.
    pub fn mean_squares(&self) -> Vec<f32> {
        let columns = self.sums.len() / self.counts.len().max(1);
        let mean = |(i, sum): (usize, &f64)| match self.counts[i / columns.max(1)] {
            count if count > 0.0 => (sum / count) as f32,
            _ => 1.0,
        };
        self.sums.iter().enumerate().map(mean).collect()
    }
}

impl Calibration {
    /// How much an error in each column of a weight costs: the mean square of its input. `None` if it was not seen.
    pub fn importance(&self, weight: &str) -> Option<Vec<f32>> {
        self.inputs.get(weight).map(InputStats::mean_squares)
    }
}
