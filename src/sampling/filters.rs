//! The survivors of a step and the filters that thin them.
//!
//! A vocabulary has up to a quarter of a million tokens and hardly any matter, so nothing here sorts all of them:
//!
//! - top-k keeps a buffer of twice k and a floor that rises each time the buffer is halved: one comparison
//!   for most tokens;
//! - top-p and typical-p sum up the weights by bucket and sort only the bucket in which the sum is reached;
//! - the exponential is taken of survivors only.
//!
//! What order survivors end in is fixed by the values alone (never by how a selection algorithm happens to
//! leave them), since the draw walks them in it.

use std::cmp::Ordering;

use super::exponential::exp_nonpositive;

/// Leaves sign, exponent and 6 bits of mantissa: 64 buckets an octave.
const BUCKET_SHIFT: u32 = 17;

/// A token that may still be drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// The token.
    pub(super) id: u32,
    /// Its logit less the greatest one, so at most 0.
    pub(super) delta: f32,
    /// `e^delta`: its probability, but for the common divisor.
    pub(super) weight: f32,
}

/// The candidates of one step, in buffers that are used again for the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    kept: Vec<Candidate>,
    /// Weight by leading bits of a filter's key.
    buckets: Vec<f64>,
    /// The bucket that a filter cuts.
    cut: Vec<(f32, Candidate)>,
}

impl Candidates {
    /// Starts a step with the `top_k` greatest of `logits` (0: all), masked ones left out.
    ///
    /// Logits are free of NaN and positive infinity. Nothing is kept when all are masked.
    pub(super) fn gather(&mut self, logits: &[f32], top_k: usize) {
        self.kept.clear();
        if (1..logits.len()).contains(&top_k) {
            self.gather_top(logits, top_k);
        } else {
            self.kept.extend((0..).zip(logits).filter_map(unmasked));
        }
        let max = self
            .kept
            .iter()
            .map(|candidate| candidate.delta)
            .fold(f32::NEG_INFINITY, f32::max);
        for candidate in &mut self.kept {
            candidate.delta -= max;
            candidate.weight = exp_nonpositive(candidate.delta);
        }
    }

    /// Locally typical sampling: the surprise of a token is `-ln p`, its expectation the entropy; the divisor of `p`
    /// cancels out of their difference.
    pub(super) fn keep_typical(&mut self, typical_p: f32) {
        let total = self.total();
        let weighted = |candidate: &Candidate| {
            if candidate.weight > 0.0 {
                f64::from(candidate.weight) * f64::from(candidate.delta)
            } else {
                0.0
            }
        };
        let expected = self.kept.iter().map(weighted).sum::<f64>() / total;
        self.keep_mass(f64::from(typical_p) * total, |candidate| {
            (f64::from(candidate.delta) - expected).abs() as f32
        });
    }

    /// Nucleus sampling.
    pub(super) fn keep_nucleus(&mut self, top_p: f32) {
        let mass = f64::from(top_p) * self.total();
        self.keep_mass(mass, |candidate| candidate.delta.abs());
    }

    /// Drops tokens less likely than `min_p` times the likeliest.
    pub(super) fn keep_relative(&mut self, min_p: f32) {
        let max = self
            .kept
            .iter()
            .map(|candidate| candidate.weight)
            .fold(0.0, f32::max);
        self.kept
            .retain(|candidate| candidate.weight >= min_p * max);
    }

    /// Draws a token with the chances that `temperature > 0` gives the survivors; `unit` is uniform in `[0, 1)`.
    pub(super) fn draw(&mut self, temperature: f32, unit: f64) -> Option<u32> {
        let max = self
            .kept
            .iter()
            .map(|candidate| candidate.delta)
            .fold(f32::NEG_INFINITY, f32::max);
        for candidate in &mut self.kept {
            candidate.weight = exp_nonpositive((candidate.delta - max) / temperature);
        }
        let target = unit * self.total();
        let mut sum = 0.0;
        let drawn = self.kept.iter().find(|candidate| {
            sum += f64::from(candidate.weight);
            sum > target
        });
        drawn.map(|candidate| candidate.id)
    }

    /// Sorts what is left, likeliest first.
    pub(super) fn sort(&mut self) {
        self.kept.sort_unstable_by(likelier_first);
    }

    /// What is left.
    pub(super) fn as_slice(&self) -> &[Candidate] {
        &self.kept
    }

    fn gather_top(&mut self, logits: &[f32], count: usize) {
        let room = count.saturating_mul(2).max(64);
        let mut floor = f32::NEG_INFINITY;
        for (id, &logit) in (0..).zip(logits) {
            if logit > floor {
                self.kept.extend(unmasked((id, &logit)));
                if self.kept.len() == room {
                    floor = self.keep_first(count);
                }
            }
        }
        if self.kept.len() > count {
            self.keep_first(count);
        }
        self.sort();
    }

    /// Keeps the `count` likeliest, in no order, and gives the least of their logits.
    fn keep_first(&mut self, count: usize) -> f32 {
        let (_, least, _) = self.kept.select_nth_unstable_by(count - 1, likelier_first);
        let floor = least.delta;
        self.kept.truncate(count);
        floor
    }

    /// Keeps the fewest tokens of least key (of equal ones, lowest id) that weigh at least `mass`, and at least
    /// one. Keys are not negative, so their bits sort as they do.
    fn keep_mass(&mut self, mass: f64, key: impl Fn(&Candidate) -> f32) {
        let bucket = |key: f32| (key.to_bits() >> BUCKET_SHIFT) as usize;
        self.buckets.clear();
        self.buckets.resize(bucket(f32::INFINITY) + 1, 0.0);
        for candidate in &self.kept {
            self.buckets[bucket(key(candidate))] += f64::from(candidate.weight);
        }
        let mut sum = 0.0;
        let Some(cut_bucket) = self.buckets.iter().position(|&weight| {
            let reached = sum + weight >= mass && weight > 0.0;
            sum += if reached { 0.0 } else { weight };
            reached
        }) else {
            return;
        };

        self.cut.clear();
        let keyed = self
            .kept
            .iter()
            .map(|candidate| (key(candidate), *candidate));
        self.cut
            .extend(keyed.filter(|&(key, _)| bucket(key) == cut_bucket));
        self.cut
            .sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.id.cmp(&b.1.id)));
        let last = self.cut.iter().find(|(_, candidate)| {
            sum += f64::from(candidate.weight);
            sum >= mass
        });
        if let Some(&(last_key, last)) = last.or(self.cut.last()) {
            self.kept.retain(|candidate| {
                let key = key(candidate);
                key < last_key || (key == last_key && candidate.id <= last.id)
            });
        }
    }

    fn total(&self) -> f64 {
        self.kept
            .iter()
            .map(|candidate| f64::from(candidate.weight))
            .sum()
    }
}

/// A token as it enters: `delta` still holds the logit itself.
fn unmasked((id, &logit): (u32, &f32)) -> Option<Candidate> {
    (logit > f32::NEG_INFINITY).then_some(Candidate {
        id,
        delta: logit,
        weight: 0.0,
    })
}

fn likelier_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.delta
        .partial_cmp(&a.delta)
        .unwrap_or(Ordering::Equal)
        .then(a.id.cmp(&b.id))
}
