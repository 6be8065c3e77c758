//! Ranges tried on what a model's layers read.

use super::collector::{divided, lock};
use dino_core::{Observe, WeightPlace};
use ndarray::{ArrayView1, ArrayView2};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Values as codes of -127 to 127: `value = scale · (code - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Codes {
    /// The value of a step.
    pub scale: f32,
    /// The code of the value 0.
    pub zero_point: i32,
}

impl Codes {
    /// The codes of a range that holds 0, or of the one that reaches as far on both sides of it; `None` if no scale is that
    /// small.
    pub fn of([least, greatest]: [f32; 2], symmetric: bool) -> Option<Self> {
        let (scale, zero_point) = if symmetric {
            (greatest.max(-least) / 127.0, 0)
        } else {
            let scale = (greatest - least) / 254.0;
            (scale, (-127.0 - least / scale).round_ties_even() as i32)
        };
        let fits = scale.is_normal() && scale.recip().is_normal();
        fits.then_some(Self { scale, zero_point })
    }

    /// What rounding a row loses, as part of its squares; 0 of nothing.
    fn loss(self, row: ArrayView1<'_, f32>) -> f64 {
        let (inverse, zero) = (self.scale.recip(), self.zero_point as f32);
        let (mut lost, mut all) = (0.0_f64, 0.0_f64);
        for &x in row {
            let code = ((x * inverse).round_ties_even() + zero).clamp(-127.0, 127.0);
            let miss = x - self.scale * (code - zero);
            lost += f64::from(miss * miss);
            all += f64::from(x * x);
        }
        if all > 0.0 { lost / all } else { 0.0 }
    }
}

/// What an input loses by ranges: the mean over its tokens of the part of their squares that is lost, so that a few tokens with
/// huge values count for no more than others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RangeLosses {
    /// Tokens.
    pub tokens: u64,
    /// With the range of each token.
    pub token: f64,
    /// With each of the fixed ranges that were tried.
    pub fixed: Vec<f64>,
}

/// Tries fixed ranges on the inputs of a running model, beside the ranges of each token.
#[derive(Debug)]
pub struct RangeTrial {
    /// By weight.
    candidates: BTreeMap<String, Vec<Codes>>,
    factors: BTreeMap<String, Vec<f32>>,
    symmetric: bool,
    sums: Mutex<BTreeMap<String, RangeLosses>>,
}

impl RangeTrial {
    /// Tries these codes on the inputs of these weights, whose channels are divided by `factors` before.
    pub fn new(
        candidates: BTreeMap<String, Vec<Codes>>,
        factors: BTreeMap<String, Vec<f32>>,
        symmetric: bool,
    ) -> Self {
        Self {
            candidates,
            factors,
            symmetric,
            sums: Mutex::default(),
        }
    }

    /// What was lost so far, by weight.
    pub fn losses(&self) -> BTreeMap<String, RangeLosses> {
        let mut losses = lock(&self.sums).clone();
        for loss in losses.values_mut() {
            let tokens = loss.tokens.max(1) as f64;
            loss.token /= tokens;
            loss.fixed.iter_mut().for_each(|fixed| *fixed /= tokens);
        }
        losses
    }
}

impl Observe for RangeTrial {
    fn linear_input(&self, place: WeightPlace<'_>, rows: ArrayView2<'_, f32>) {
        let Some(candidates) = self.candidates.get(place.name) else {
            return;
        };
        let rows = divided(rows, self.factors.get(place.name));
        let mut sums = lock(&self.sums);
        let losses = sums.entry(place.name.to_owned()).or_default();
        losses.fixed.resize(candidates.len(), 0.0);
        for row in rows.rows() {
            losses.tokens += 1;
            let range = row.fold([0.0_f32; 2], |[a, b], &x| [a.min(x), b.max(x)]);
            losses.token += Codes::of(range, self.symmetric).map_or(0.0, |codes| codes.loss(row));
            for (sum, codes) in losses.fixed.iter_mut().zip(candidates) {
                *sum += codes.loss(row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// The ends of a range get the lowest and the highest code, and 0 an integer.
    #[test]
    fn a_range_becomes_a_scale_and_a_zero_point() {
        let (scale, zero_point) = (4.0 / 254.0, -64);
        assert_eq!(
            Codes::of([-1.0, 3.0], false),
            Some(Codes { scale, zero_point })
        );
        let (scale, zero_point) = (3.0 / 127.0, 0);
        assert_eq!(
            Codes::of([-1.0, 3.0], true),
            Some(Codes { scale, zero_point })
        );
        assert_eq!(Codes::of([-1e-45, 0.0], false), None);
    }

    /// Worked out by hand: a step of 1 and a range of 127 on both sides.
    #[test]
    fn losses_are_parts_of_each_token() {
        let ones = Codes {
            scale: 1.0,
            zero_point: 0,
        };
        let candidates = BTreeMap::from([("a".to_owned(), vec![ones])]);
        let factors = BTreeMap::from([("a".to_owned(), vec![2.0, 0.5])]);
        let trial = RangeTrial::new(candidates, factors, true);
        let place = |name| WeightPlace {
            name,
            matrix: 0,
            matrices: 1,
        };
        // Divided: 2.25 and 4, of which 0.25 is lost; 254 and 0, of which 127 are cut off; nothing.
        let rows = array![[4.5, 2.0], [508.0, 0.0], [0.0, 0.0]];
        trial.linear_input(place("a"), rows.view());
        trial.linear_input(place("b"), rows.view());
        let losses = trial.losses();
        assert_eq!(losses.len(), 1);
        let found = &losses["a"];
        assert_eq!(found.tokens, 3);
        let expected = (0.0625 / (2.25 * 2.25 + 16.0) + 0.25) / 3.0;
        assert!((found.fixed[0] - expected).abs() < 1e-9, "{found:?}");
        // Of the first token, 2.25 lies nearly in the middle of two steps of 4 / 127; the second is one code.
        let step = 4.0_f64 / 127.0;
        let miss = 2.25 - (2.25 / step).round() * step;
        let expected = miss * miss / (2.25 * 2.25 + 16.0) / 3.0;
        assert!((found.token - expected).abs() < 1e-9, "{found:?}");
    }
}
