//! The survivors of a step and the filters that thin them.
//!
//! A vocabulary has up to a quarter of a million tokens and hardly any matter, so nothing here sorts all of them, and
//! nothing but a vector kernel looks at each:
//!
//! - top-k keeps a buffer of twice k and a floor that rises each time the buffer is halved; runs of tokens whose greatest
//!   logit is below it are passed over;
//! - top-p first drops tokens so unlikely that all of them together are less than `1 - p`: those cannot be in the nucleus;
//! - what is left is summed up by bucket, and only the bucket in which the sum is reached is sorted.
//!
//! What order survivors end in is fixed by the values alone (never by how a selection algorithm happens to
//! leave them), since the draw walks them in it.

use std::cmp::Ordering;

use dino_kernels::{Kernels, VectorKernels, exp_nonpositive};

/// Leaves sign, exponent and 6 bits of mantissa: 64 buckets an octave.
const BUCKET_SHIFT: u32 = 17;
/// Buckets of all keys, infinity included.
const BUCKETS: usize = (f32::INFINITY.to_bits() >> BUCKET_SHIFT) as usize + 1;
/// So few that sorting them all is cheaper than to clear the buckets.
const FEW: usize = 64;
/// Tokens that are looked at together.
const RUN: usize = 256;

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

/// Buffers that are used again for the next step.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    kept: Vec<Candidate>,
    /// Weights of all tokens.
    weights: Vec<f32>,
    /// Their sums by runs.
    sums: Vec<f64>,
    /// Weight by leading bits of a filter's key.
    buckets: Vec<f64>,
    /// The bucket that a filter cuts.
    cut: Vec<(f32, Candidate)>,
}

impl Scratch {
    /// Makes room for a list of `count` tokens, so that no later step has to. Memory is taken only where it is written.
    fn reserve(&mut self, count: usize) {
        self.kept.clear();
        self.kept.reserve(count);
        self.cut.clear();
        self.cut.reserve(count);
        self.buckets.clear();
        self.buckets.reserve(BUCKETS);
    }
}

/// The candidates of one step.
pub(super) struct Candidates<'a> {
    vector: &'static VectorKernels,
    logits: &'a [f32],
    /// The greatest logit.
    max: f32,
    /// Whether the survivors are listed in `scratch.kept`; until a filter asks for the list, all are.
    listed: bool,
    scratch: &'a mut Scratch,
}

impl<'a> Candidates<'a> {
    /// Starts a step with the `top_k` greatest of `logits` (0: all), masked ones left out.
    ///
    /// Logits are free of NaN and positive infinity. Nothing is kept when all are masked.
    pub(super) fn gather(logits: &'a [f32], top_k: usize, scratch: &'a mut Scratch) -> Self {
        let vector = &Kernels::best().vector;
        scratch.kept.clear();
        let mut candidates = Self {
            vector,
            logits,
            max: vector.max(logits),
            listed: false,
            scratch,
        };
        if (1..logits.len()).contains(&top_k) {
            candidates.list_top(top_k);
        }
        candidates
    }

    /// Locally typical sampling: the surprise of a token is `-ln p`, its expectation the entropy; the divisor of `p`
    /// cancels out of their difference.
    pub(super) fn keep_typical(&mut self, typical_p: f32) {
        if !self.listed {
            self.list_typical(typical_p);
            return;
        }
        let total = self.total();
        let weighted = self.scratch.kept.iter().map(Candidate::weighted_delta);
        let expected = weighted.sum::<f64>() / total;
        self.keep_mass(f64::from(typical_p) * total, surprise(expected));
    }

    /// Nucleus sampling.
    pub(super) fn keep_nucleus(&mut self, top_p: f32) {
        let total = if self.listed {
            self.total()
        } else {
            let total = self.weigh(1.0);
            self.list_likely(total, top_p);
            total
        };
        self.keep_mass(f64::from(top_p) * total, |candidate| candidate.delta.abs());
    }

    /// Drops tokens less likely than `min_p` times the likeliest.
    pub(super) fn keep_relative(&mut self, min_p: f32) {
        if !self.listed {
            // A little lower than exact, for the logarithm's rounding; the weights decide.
            self.list_from(min_p.ln() - 1e-3);
        }
        let kept = &mut self.scratch.kept;
        let weights = kept.iter().map(|candidate| candidate.weight);
        let max = weights.fold(0.0, f32::max);
        kept.retain(|candidate| candidate.weight >= min_p * max);
    }

    /// Draws a token with the chances that `temperature > 0` gives the survivors; `unit` is uniform in `[0, 1)`.
    pub(super) fn draw(&mut self, temperature: f32, unit: f64) -> Option<u32> {
        if !self.listed {
            return self.draw_of_all(temperature, unit);
        }
        let kept = &mut self.scratch.kept;
        let deltas = kept.iter().map(|candidate| candidate.delta);
        let max = deltas.fold(f32::NEG_INFINITY, f32::max);
        for candidate in &mut *kept {
            candidate.weight = exp_nonpositive((candidate.delta - max) / temperature);
        }
        let target = unit * self.total();
        let kept = self.scratch.kept.iter();
        let index = drawn(kept.map(|candidate| candidate.weight), 0.0, target)?;
        Some(self.scratch.kept[index].id)
    }

    /// What is left, listed.
    pub(super) fn listed(&mut self) -> &[Candidate] {
        if !self.listed {
            self.list_from(f32::MIN);
        }
        &self.scratch.kept
    }

    /// `ln` of the sum of `e^logit` over all tokens; masked ones count nothing.
    pub(super) fn log_sum_exp(&mut self) -> f64 {
        f64::from(self.max) + self.weigh(1.0).ln()
    }

    /// Weights of all tokens at a temperature, and their sum.
    fn weigh(&mut self, temperature: f32) -> f64 {
        let Scratch { weights, sums, .. } = &mut *self.scratch;
        weights.resize(self.logits.len(), 0.0);
        sums.clear();
        let runs = self.logits.chunks(RUN).zip(weights.chunks_mut(RUN));
        let (vector, max) = (self.vector, self.max);
        sums.extend(
            runs.map(|(logits, weights)| vector.chances(logits, max, temperature, weights)),
        );
        sums.iter().sum()
    }

    fn draw_of_all(&mut self, temperature: f32, unit: f64) -> Option<u32> {
        if self.max == f32::NEG_INFINITY {
            return None;
        }
        let target = unit * self.weigh(temperature);
        let mut sum = 0.0;
        let reached = self.scratch.sums.iter().position(|&run| {
            let reached = sum + run > target;
            sum += if reached { 0.0 } else { run };
            reached
        });
        // Rounding may leave the target just beyond the end: then the last run that has any weight.
        let last = || self.scratch.sums.iter().rposition(|&run| run > 0.0);
        let first = reached.or_else(last)? * RUN;
        let weights = &self.scratch.weights[first..(first + RUN).min(self.logits.len())];
        let index = drawn(weights.iter().copied(), sum, target)?;
        Some((first + index) as u32)
    }

    /// Lists the `count` greatest, likeliest first.
    fn list_top(&mut self, count: usize) {
        self.listed = true;
        let kept = &mut self.scratch.kept;
        let room = count.saturating_mul(2).max(64);
        let mut floor = f32::NEG_INFINITY;
        for (run, logits) in self.logits.chunks(RUN).enumerate() {
            if self.vector.max(logits) <= floor {
                continue;
            }
            for (id, &logit) in (run * RUN..).zip(logits) {
                if logit > floor {
                    kept.push(Candidate::new(id, logit, self.max));
                    if kept.len() == room {
                        keep_first(kept, count);
                        floor = self.logits[kept[count - 1].id as usize];
                    }
                }
            }
        }
        if kept.len() > count {
            keep_first(kept, count);
        }
        kept.sort_unstable_by(likelier_first);
        for candidate in kept {
            candidate.weight = exp_nonpositive(candidate.delta);
        }
    }

    /// Lists those whose logit is at most `-least` below the greatest.
    fn list_from(&mut self, least: f32) {
        self.listed = true;
        self.scratch.reserve(self.logits.len());
        for (run, logits) in self.logits.chunks(RUN).enumerate() {
            let has_any = |logit: f32| logit > f32::NEG_INFINITY && logit - self.max >= least;
            if !has_any(self.vector.max(logits)) {
                continue;
            }
            let ids = (run * RUN..).zip(logits);
            let kept = ids.filter(|&(_, &logit)| has_any(logit));
            self.scratch.kept.extend(kept.map(|(id, &logit)| {
                let candidate = Candidate::new(id, logit, self.max);
                let weight = exp_nonpositive(candidate.delta);
                Candidate {
                    weight,
                    ..candidate
                }
            }));
        }
    }

    /// Lists tokens, weighed before, of which the likeliest are sure to reach the share `mass` of `total`. Gives the
    /// least weight that was kept.
    ///
    /// All that are lighter than half of `(1 - mass) / count` are less than `1 - mass` together. Half, so that no rounding
    /// can matter.
    fn list_likely(&mut self, total: f64, mass: f32) -> f32 {
        self.listed = true;
        self.scratch.reserve(self.logits.len());
        let Scratch { kept, weights, .. } = &mut *self.scratch;
        let floor = 0.5 * (1.0 - f64::from(mass)) * total / self.logits.len().max(1) as f64;
        // Zero weights are tokens beyond any chance, or masked.
        let floor = (floor as f32).max(f32::MIN_POSITIVE);
        for (run, weights) in weights.chunks(RUN).enumerate() {
            if self.vector.max(weights) < floor {
                continue;
            }
            for (index, &weight) in weights.iter().enumerate() {
                if weight >= floor {
                    let id = run * RUN + index;
                    let candidate = Candidate::new(id, self.logits[id], self.max);
                    kept.push(Candidate {
                        weight,
                        ..candidate
                    });
                }
            }
        }
        floor
    }

    /// As [`Self::keep_typical`], of all tokens.
    fn list_typical(&mut self, typical_p: f32) {
        let total = self.weigh(1.0);
        let expected = self.weighted_deltas() / total;
        let mass = f64::from(typical_p) * total;
        let key = surprise(expected);
        let floor = self.list_likely(total, typical_p);
        // What was left out is at least this surprising, if it is less likely than expected; a little less, for rounding.
        let bound = (expected - f64::from(floor).ln() - 1e-3) as f32;
        let surely = self.scratch.kept.iter().filter(|kept| key(kept) < bound);
        let reached = surely.map(|kept| f64::from(kept.weight)).sum::<f64>() >= mass;
        if bound <= 0.0 || !reached {
            self.list_from(f32::MIN);
        }
        self.keep_mass(mass, key);
    }

    /// The sum of `weight · delta` over all tokens, in eight lanes, so that it needs not wait for each addition.
    fn weighted_deltas(&self) -> f64 {
        let mut lanes = [0.0; 8];
        let (logits, weights) = (self.logits.chunks(8), self.scratch.weights.chunks(8));
        for (logits, weights) in logits.zip(weights) {
            for ((lane, logit), weight) in lanes.iter_mut().zip(logits).zip(weights) {
                // Where the weight is 0 the delta may be infinite.
                let delta = (logit - self.max).max(-100.0);
                *lane += f64::from(*weight) * f64::from(delta);
            }
        }
        lanes.iter().sum()
    }

    /// Keeps the fewest listed tokens of least key (of equal ones, lowest id) that weigh at least `mass`, and at least
    /// one. Keys are not negative, so their bits sort as they do.
    fn keep_mass(&mut self, mass: f64, key: impl Fn(&Candidate) -> f32) {
        let Scratch {
            kept, buckets, cut, ..
        } = &mut *self.scratch;
        let bucket = |key: f32| (key.to_bits() >> BUCKET_SHIFT) as usize;
        let (mut sum, mut cut_bucket) = (0.0, None);
        if kept.len() > FEW {
            buckets.clear();
            buckets.resize(BUCKETS, 0.0);
            for candidate in &*kept {
                buckets[bucket(key(candidate))] += f64::from(candidate.weight);
            }
            cut_bucket = buckets.iter().position(|&weight| {
                let reached = sum + weight >= mass && weight > 0.0;
                sum += if reached { 0.0 } else { weight };
                reached
            });
            if cut_bucket.is_none() {
                return;
            }
        }
        cut.clear();
        let keyed = kept.iter().map(|candidate| (key(candidate), *candidate));
        cut.extend(keyed.filter(|&(key, _)| cut_bucket.is_none_or(|cut| bucket(key) == cut)));
        cut.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.id.cmp(&b.1.id)));
        let last = cut.iter().find(|(_, candidate)| {
            sum += f64::from(candidate.weight);
            sum >= mass
        });
        if let Some(&(last_key, last)) = last.or(cut.last()) {
            kept.retain(|candidate| {
                let key = key(candidate);
                key < last_key || (key == last_key && candidate.id <= last.id)
            });
        }
    }

    fn total(&self) -> f64 {
        let weights = self.scratch.kept.iter().map(|kept| f64::from(kept.weight));
        weights.sum()
    }
}

impl Candidate {
    /// A token yet to be weighed.
    fn new(id: usize, logit: f32, max: f32) -> Self {
        Self {
            id: id as u32,
            delta: logit - max,
            weight: 0.0,
        }
    }

    fn weighted_delta(&self) -> f64 {
        if self.weight > 0.0 {
            f64::from(self.weight) * f64::from(self.delta)
        } else {
            0.0
        }
    }
}

/// How far a token's surprise is from the expected one.
fn surprise(expected: f64) -> impl Fn(&Candidate) -> f32 {
    move |candidate| (f64::from(candidate.delta) - expected).abs() as f32
}

/// The first place at which the sum of weights, `sum` so far, exceeds `target`; if rounding keeps it from that, the last
/// that has weight.
fn drawn(weights: impl Iterator<Item = f32>, mut sum: f64, target: f64) -> Option<usize> {
    let mut last = None;
    for (index, weight) in weights.enumerate() {
        sum += f64::from(weight);
        if weight > 0.0 {
            last = Some(index);
        }
        if sum > target {
            break;
        }
    }
    last
}

/// Keeps the `count` likeliest, the least of them last.
fn keep_first(kept: &mut Vec<Candidate>, count: usize) {
    kept.select_nth_unstable_by(count - 1, likelier_first);
    kept.truncate(count);
}

fn likelier_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.delta
        .partial_cmp(&a.delta)
        .unwrap_or(Ordering::Equal)
        .then(a.id.cmp(&b.id))
}
