//! Which experts each token goes through.

use crate::arch::{Experts, Gating, Shares};
use dino_kernels::ops::Choices;
use ndarray::{ArrayView1, ArrayView2};
use std::ops::Range;

/// The choices of all tokens of a pass. The rows that experts read are gathered by expert, each expert's in the order
/// of their tokens.
#[derive(Default)]
pub(super) struct Routes {
    used: usize,
    /// Of one token, `[experts]`.
    chances: Vec<f32>,
    /// The expert of each choice, best first, `[tokens, used]`.
    experts: Vec<u32>,
    /// What each choice counts, `[tokens, used]`.
    shares: Vec<f32>,
    /// The gathered row of each choice, `[tokens, used]`.
    places: Vec<u32>,
    /// The token of each gathered row.
    rows: Vec<u32>,
    /// Where the gathered rows of each expert begin, and where the last one's end, `[experts + 1]`.
    starts: Vec<usize>,
}

impl Routes {
    /// Chooses for each token the best experts by its `scores`, `[tokens, experts]`; `preferences` (`[experts]`, or
    /// empty) are added to the chances that they give.
    pub(super) fn choose(
        &mut self,
        scores: ArrayView2<'_, f32>,
        spec: &Experts,
        preferences: &[f32],
    ) {
        self.used = spec.used;
        self.experts.clear();
        self.shares.clear();
        for scores in scores.rows() {
            let first = self.experts.len();
            self.chances.clear();
            // Softmax keeps the order of scores.
            self.chances
                .extend(scores.iter().map(|&score| match spec.gating {
                    Gating::Softmax => score,
                    Gating::Sigmoid => sigmoid(score),
                }));
            for (chance, preference) in self.chances.iter_mut().zip(preferences) {
                *chance += preference;
            }
            for _ in 0..spec.used {
                let best = best(&self.chances, &self.experts[first..]);
                self.experts.push(best);
            }
            let chosen = self.experts[first..].iter();
            let chosen = chosen.map(|&expert| scores[expert as usize]);
            share_out(scores, chosen, spec, &mut self.shares);
        }
        self.place(scores.ncols());
    }

    /// Gives each choice its gathered row.
    fn place(&mut self, experts: usize) {
        self.starts.clear();
        self.starts.resize(experts + 1, 0);
        for &expert in &self.experts {
            self.starts[expert as usize + 1] += 1;
        }
        for expert in 0..experts {
            self.starts[expert + 1] += self.starts[expert];
        }
        self.places.clear();
        self.rows.resize(self.experts.len(), 0);
        // Each start moves to its expert's end, which is the next one's start.
        for (choice, &expert) in self.experts.iter().enumerate() {
            let place = &mut self.starts[expert as usize];
            self.rows[*place] = (choice / self.used) as u32;
            self.places.push(*place as u32);
            *place += 1;
        }
        self.starts.rotate_right(1);
        self.starts[0] = 0;
    }

    /// The token of each gathered row.
    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The experts that any token chose, with their gathered rows.
    pub(super) fn groups(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let ranges = self.starts.windows(2).map(|ends| ends[0]..ends[1]);
        ranges.enumerate().filter(|(_, rows)| !rows.is_empty())
    }

    /// The gathered rows and shares of each token.
    pub(super) fn choices(&self) -> Choices<'_> {
        Choices {
            used: self.used,
            rows: &self.places,
            shares: &self.shares,
        }
    }
}

/// The expert with the highest score that is not among `chosen`; of equals the first.
fn best(scores: &[f32], chosen: &[u32]) -> u32 {
    let mut best: Option<(u32, f32)> = None;
    for (expert, &score) in (0_u32..).zip(scores) {
        let better = best.is_none_or(|(_, highest)| score.total_cmp(&highest).is_gt());
        if better && !chosen.contains(&expert) {
            best = Some((expert, score));
        }
    }
    best.map_or(0, |(expert, _)| expert)
}

/// Adds what each of the `chosen` scores, best first, counts.
fn share_out(
    scores: ArrayView1<'_, f32>,
    chosen: impl Iterator<Item = f32> + Clone,
    spec: &Experts,
    to: &mut Vec<f32>,
) {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |score: f32| match spec.gating {
        Gating::Softmax => (score - highest).exp(),
        Gating::Sigmoid => sigmoid(score),
    };
    let total: f32 = match (spec.shares, spec.gating) {
        (Shares::OfAll, Gating::Softmax) => scores.iter().copied().map(weight).sum(),
        (Shares::OfAll, Gating::Sigmoid) => 1.0,
        (Shares::OfChosen, _) => chosen.clone().map(weight).sum(),
    };
    let total = total.max(f32::MIN_POSITIVE);
    to.extend(chosen.map(|score| weight(score) / total * spec.scale));
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn spec(used: usize, gating: Gating, shares: Shares) -> Experts {
        Experts {
            count: 4,
            used,
            size: 1,
            gating,
            preferred: false,
            shares,
            scale: 1.0,
            shared: None,
            biased: false,
            limit: None,
        }
    }

    #[test]
    fn preferences_choose_but_do_not_count() {
        let scores = array![[0.0, 2.0, 1.0, -1.0]];
        let spec = Experts {
            scale: 3.0,
            ..spec(2, Gating::Sigmoid, Shares::OfChosen)
        };
        let mut routes = Routes::default();
        routes.choose(scores.view(), &spec, &[0.0, -5.0, 0.0, 5.0]);
        assert_eq!(routes.experts, [3, 2]);
        let [a, b] = [-1.0, 1.0].map(sigmoid);
        for (found, expected) in routes.shares.iter().zip([a, b]) {
            assert!((found - 3.0 * expected / (a + b)).abs() < 1e-6);
        }
        let by_itself = self::spec(1, Gating::Sigmoid, Shares::OfAll);
        routes.choose(scores.view(), &by_itself, &[]);
        assert_eq!((routes.experts[0], routes.shares[0]), (1, sigmoid(2.0)));
    }

    #[test]
    fn tokens_go_to_their_best_experts() {
        let scores = array![[0.0, 2.0, 1.0, 2.0], [5.0, 0.0, 4.0, 0.0]];
        let mut routes = Routes::default();
        routes.choose(
            scores.view(),
            &spec(2, Gating::Softmax, Shares::OfChosen),
            &[],
        );
        assert_eq!(routes.experts, [1, 3, 0, 2]);
        let groups: Vec<_> = routes.groups().collect();
        assert_eq!(groups, [(0, 0..1), (1, 1..2), (2, 2..3), (3, 3..4)]);
        assert_eq!(routes.rows(), [1, 0, 1, 0]);
        assert_eq!(routes.places, [1, 3, 0, 2]);
        let best = 1.0 / (1.0 + (-1_f32).exp());
        let expected = [0.5, 0.5, best, 1.0 - best];
        for (found, expected) in routes.shares.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6);
        }
        routes.choose(scores.view(), &spec(1, Gating::Softmax, Shares::OfAll), &[]);
        assert_eq!(routes.groups().count(), 2);
        assert!(routes.shares.iter().all(|share| *share < 1.0));
    }

    #[test]
    fn scores_that_are_no_numbers_still_choose() {
        let scores = array![[f32::NAN, f32::NEG_INFINITY, f32::NAN]];
        let mut routes = Routes::default();
        routes.choose(scores.view(), &spec(3, Gating::Softmax, Shares::OfAll), &[]);
        let mut experts = routes.experts.clone();
        experts.sort_unstable();
        assert_eq!(experts, [0, 1, 2]);
    }
}
