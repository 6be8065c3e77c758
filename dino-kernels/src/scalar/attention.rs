//! The reference of attention over one tile.

use crate::kv::PAGE;
use crate::table::{AttentionKernels, Softness};
use half::f16;

pub(crate) const TABLE: AttentionKernels = AttentionKernels {
    scores_f16: scores::<f16>,
    scores_f32: scores::<f32>,
    soften,
    values_f16: values::<f16>,
    values_f32: values::<f32>,
};

/// Stored cache elements, widened one by one.
pub(crate) trait Element: Copy {
    fn get(self) -> f32;
}

impl Element for f16 {
    fn get(self) -> f32 {
        self.to_f32()
    }
}

impl Element for f32 {
    fn get(self) -> f32 {
        self
    }
}

/// `[rows, dim] · [dim, PAGE] -> [rows, PAGE]`.
pub(crate) fn scores<E: Element>(queries: &[f32], keys: &[E], scores: &mut [f32]) {
    let dim = keys.len() / PAGE;
    for (query, scores) in queries.chunks_exact(dim).zip(scores.chunks_exact_mut(PAGE)) {
        scores.fill(0.0);
        for (x, keys) in query.iter().zip(keys.chunks_exact(PAGE)) {
            for (score, key) in scores.iter_mut().zip(keys) {
                *score += x * key.get();
            }
        }
    }
}

/// One step of the online softmax.
pub(crate) fn soften(scores: &mut [f32; PAGE], state: &mut Softness) {
    let max = scores.iter().fold(state.max, |max, &score| max.max(score));
    state.rescale = (state.max - max).exp();
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - max).exp();
        sum += *score;
    }
    state.sum = state.sum * state.rescale + sum;
    state.max = max;
}

/// `output += [rows, PAGE] · [PAGE, dim]` over the first `count` positions.
pub(crate) fn values<E: Element>(weights: &[f32], values: &[E], count: usize, output: &mut [f32]) {
    let dim = values.len() / PAGE;
    for (weights, output) in weights.chunks_exact(PAGE).zip(output.chunks_exact_mut(dim)) {
        for (weight, values) in weights[..count].iter().zip(values.chunks_exact(dim)) {
            for (to, value) in output.iter_mut().zip(values) {
                *to += weight * value.get();
            }
        }
    }
}
