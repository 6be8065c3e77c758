//! What a model's linear layers see while it reads a text, and so which columns of their weights matter.
//!
//! A [`Collector`] watches a running model; [`Calibration`] is what it has seen, for each weight: the mean square and the
//! greatest magnitude of each input channel, and a histogram of all magnitudes; and how much each layer changes
//! the residual stream. An [`Observer`] says which range of magnitudes is worth its codes, where all share one scale, and a
//! [`RangeTrial`] what each range really loses.

mod collector;
mod histogram;
mod influence;
mod observer;
mod trial;

pub use collector::Collector;
pub use histogram::Histogram;
pub use influence::Influence;
pub use observer::{Observer, ObserverError};
pub use trial::{Codes, RangeLosses, RangeTrial};

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
    /// The least and the greatest of all values and 0; both 0 if they were not recorded.
    pub limits: [f32; 2],
    /// All magnitudes; `None` if they were not recorded.
    pub histogram: Option<Histogram>,
}

impl InputStats {
    /// Adds what was seen elsewhere, if it is of the same shape.
    fn merge(&mut self, other: &Self) {
        if self.counts.len() != other.counts.len() || self.sums.len() != other.sums.len() {
            return;
        }
        let add = |own: &mut Vec<f64>, other: &[f64]| {
            own.iter_mut().zip(other).for_each(|(own, x)| *own += x);
        };
        add(&mut self.counts, &other.counts);
        add(&mut self.sums, &other.sums);
        // What one of both has not recorded is not known of all.
        if self.greatest.len() == other.greatest.len() {
            let pairs = self.greatest.iter_mut().zip(&other.greatest);
            pairs.for_each(|(own, x)| *own = own.max(*x));
        } else {
            self.greatest.clear();
        }
        let [least, greatest] = other.limits;
        self.limits = [self.limits[0].min(least), self.limits[1].max(greatest)];
        self.histogram =
            self.histogram
                .take()
                .zip(other.histogram.as_ref())
                .map(|(mut own, other)| {
                    own.merge(other);
                    own
                });
    }

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
    /// Adds what another run has seen, of the same model.
    ///
    /// Of a weight whose inputs are of other shapes there, what was seen first stays.
    pub fn merge(&mut self, other: &Self) {
        self.datasets.extend(other.datasets.iter().cloned());
        self.chunks += other.chunks;
        self.chunk_size = self.chunk_size.max(other.chunk_size);
        if self.layers.len() == other.layers.len() {
            for (own, other) in self.layers.iter_mut().zip(&other.layers) {
                own.tokens += other.tokens;
                own.sum += other.sum;
            }
        }
        for (weight, stats) in &other.inputs {
            match self.inputs.get_mut(weight) {
                Some(own) => own.merge(stats),
                None => {
                    self.inputs.insert(weight.clone(), stats.clone());
                }
            }
        }
    }

    /// The weights, those that read the same input together: what was seen of it is the same to the bit.
    pub fn shared_inputs(&self) -> Vec<Vec<&str>> {
        let mut groups: Vec<Vec<&str>> = Vec::new();
        for (name, stats) in &self.inputs {
            let is_same = |group: &&mut Vec<&str>| {
                let first = &self.inputs[group[0]];
                first.counts == stats.counts && first.sums == stats.sums
            };
            match groups.iter_mut().find(is_same) {
                Some(group) => group.push(name),
                None => groups.push(vec![name]),
            }
        }
        groups
    }

    /// How much an error in each column of a weight costs: the mean square of its input. `None` if it was not seen.
    pub fn importance(&self, weight: &str) -> Option<Vec<f32>> {
        self.inputs.get(weight).map(InputStats::mean_squares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(sums: [f64; 2], greatest: Vec<f32>) -> InputStats {
        InputStats {
            counts: vec![2.0],
            sums: sums.to_vec(),
            greatest,
            limits: [-1.0, 2.0],
            histogram: Some(Histogram::default()),
        }
    }

    #[test]
    fn runs_are_merged_and_shared_inputs_found() {
        let mut first = Calibration::default();
        first
            .inputs
            .insert("a".into(), stats([1.0, 2.0], vec![1.0, 3.0]));
        first
            .inputs
            .insert("b".into(), stats([1.0, 5.0], vec![1.0, 3.0]));
        first
            .inputs
            .insert("c".into(), stats([1.0, 2.0], vec![1.0, 3.0]));
        assert_eq!(first.shared_inputs(), [vec!["a", "c"], vec!["b"]]);
        let mut second = Calibration::default();
        second
            .inputs
            .insert("a".into(), stats([0.5, 0.5], vec![2.0, 0.5]));
        second
            .inputs
            .insert("d".into(), stats([1.0, 1.0], Vec::new()));
        first.merge(&second);
        let a = &first.inputs["a"];
        assert_eq!(
            (&*a.counts, &*a.sums, &*a.greatest),
            (&[4.0][..], &[1.5, 2.5][..], &[2.0, 3.0][..])
        );
        assert_eq!(first.inputs.len(), 4);
        first.merge(&second);
        assert!(first.inputs["d"].greatest.is_empty());
        assert_eq!(first.inputs["d"].counts, [4.0]);
    }
}
