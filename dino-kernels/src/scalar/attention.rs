//! The reference of attention over one tile.

use crate::kv::{PAGE, Plane};
use crate::table::{Ahead, AttentionKernels, Softness};

pub(crate) const TABLE: AttentionKernels = AttentionKernels {
    scores,
    soften,
    values,
    widen_keys,
    widen_values,
    pairs: None,
};

/// `[rows, dim] · [dim, PAGE] -> [rows, PAGE]`.
pub(crate) fn scores(queries: &[f32], keys: Plane<'_>, scores: &mut [f32], _: Ahead<'_>) {
    let dim = keys.dim();
    scores.fill(0.0);
    let mut column = [0.0; PAGE];
    for feature in 0..dim {
        widen_row(&mut column, |slot| keys.key(feature, slot));
        for (query, scores) in queries.chunks_exact(dim).zip(scores.chunks_exact_mut(PAGE)) {
            for (score, key) in scores.iter_mut().zip(&column) {
                *score += query[feature] * key;
            }
        }
    }
}

/// One step of the online softmax for each row.
pub(crate) fn soften(scores: &mut [f32], bases: &[f32], states: &mut [Softness]) {
    let rows = scores.chunks_exact_mut(PAGE).zip(bases);
    for ((scores, base), state) in rows.zip(states) {
        let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let max = state.raise(max + base);
        let mut sum = 0.0;
        for score in scores.iter_mut() {
            *score = (*score - (max - base)).exp();
            sum += *score;
        }
        state.sum = state.sum * state.rescale + sum;
    }
}

/// `output += [rows, PAGE] · [PAGE, dim]` over the first `count` positions.
pub(crate) fn values(
    weights: &[f32],
    values: Plane<'_>,
    count: usize,
    output: &mut [f32],
    _: Ahead<'_>,
) {
    let dim = values.dim();
    for start in (0..dim).step_by(16) {
        // Summed apart and then added, as the other sets do, in the order of positions.
        for (weights, output) in weights.chunks_exact(PAGE).zip(output.chunks_exact_mut(dim)) {
            let mut sums = [0.0; 16];
            for (slot, weight) in weights[..count].iter().enumerate() {
                let mut row = [0.0; 16];
                widen_row(&mut row, |feature| values.value(slot, start + feature));
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += weight * value;
                }
            }
            for (to, sum) in output[start..].iter_mut().zip(sums) {
                *to += sum;
            }
        }
    }
}

/// See [`crate::Kernels::widen_keys`].
pub(crate) fn widen_keys(keys: Plane<'_>, wide: &mut [f32]) {
    for (feature, row) in wide.chunks_exact_mut(PAGE).enumerate() {
        widen_row(row, |slot| keys.key(feature, slot));
    }
}

/// See [`crate::Kernels::widen_values`].
pub(crate) fn widen_values(values: Plane<'_>, wide: &mut [f32]) {
    for (slot, row) in wide.chunks_exact_mut(values.dim()).enumerate() {
        widen_row(row, |feature| values.value(slot, feature));
    }
}

#[inline]
fn widen_row(row: &mut [f32], element: impl Fn(usize) -> f32) {
    for (index, to) in row.iter_mut().enumerate() {
        *to = element(index);
    }
}
