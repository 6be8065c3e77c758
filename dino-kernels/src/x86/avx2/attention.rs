//! Attention over one tile on 256-bit registers.
//!
//! Scores and sums are small matrix products with the tile as the right-hand side; the layout of the cache
//! makes both run along registers. Three rows (heads that share the keys, or tokens) by four registers of
//! positions or features keep twelve sums in registers, so that a key is loaded and widened once for three rows.

use super::linear::Widen;
use super::math::exp;
use crate::kv::PAGE;
use crate::table::{AttentionKernels, Softness};
use half::f16;
use std::arch::x86_64::*;

pub(crate) const TABLE: AttentionKernels = AttentionKernels {
    scores_f16: scores::<f16>,
    scores_f32: scores::<f32>,
    soften,
    values_f16: values::<f16>,
    values_f32: values::<f32>,
};

/// Values in the four registers of a step.
const STEP: usize = 32;

/// See [`crate::scalar::attention::scores`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn scores<E: Widen>(queries: &[f32], keys: &[E], scores: &mut [f32]) {
    let dim = keys.len() / PAGE;
    scores.fill(0.0);
    // Rows of the left side are `dim` long and run over the rows of the tile, which are `PAGE` long.
    multiply_rows(queries, dim, keys, PAGE, dim, scores);
}

/// See [`crate::scalar::attention::values`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn values<E: Widen>(weights: &[f32], values: &[E], count: usize, output: &mut [f32]) {
    multiply_rows(weights, PAGE, values, values.len() / PAGE, count, output);
}

/// `output += left · tile` over the first `count` rows of the tile.
///
/// `left` is `[rows, stride]`, `tile` `[≥ count, width]`, `output` `[rows, width]`; `width` is a multiple of 16.
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply_rows<E: Widen>(
    left: &[f32],
    stride: usize,
    tile: &[E],
    width: usize,
    count: usize,
    output: &mut [f32],
) {
    assert!(
        count <= stride && tile.len() >= count * width,
        "rows of the tile"
    );
    let rows = output.len() / width;
    let mut row = 0;
    while row < rows {
        let left = &left[row * stride..];
        let output = &mut output[row * width..];
        row += match rows - row {
            1 => multiply::<E, 1>(left, stride, tile, width, count, output),
            2 => multiply::<E, 2>(left, stride, tile, width, count, output),
            _ => multiply::<E, 3>(left, stride, tile, width, count, output),
        };
    }
}

/// `R` rows of [`multiply_rows`]; returns `R`.
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply<E: Widen, const R: usize>(
    left: &[f32],
    stride: usize,
    tile: &[E],
    width: usize,
    count: usize,
    output: &mut [f32],
) -> usize {
    assert!(left.len() >= (R - 1) * stride + count && output.len() >= R * width);
    assert!(tile.len() >= count * width);
    let mut column = 0;
    while column < width {
        // SAFETY: AVX2, FMA and F16C are enabled; columns up to `width`, rows up to `R` and tile rows up
        // to `count` lie inside by the assertions above.
        unsafe {
            if width - column >= STEP {
                multiply_columns::<E, R, 4>(left, stride, tile, width, count, column, output);
                column += STEP;
            } else {
                multiply_columns::<E, R, 2>(left, stride, tile, width, count, column, output);
                column += STEP / 2;
            }
        }
    }
    R
}

/// `R` rows by `C` registers of columns.
///
/// # Safety
/// As in [`multiply`], with `8 * C` columns from `column` on inside of `width`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn multiply_columns<E: Widen, const R: usize, const C: usize>(
    left: &[f32],
    stride: usize,
    tile: &[E],
    width: usize,
    count: usize,
    column: usize,
    output: &mut [f32],
) {
    // SAFETY: by the contract.
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); C]; R];
        for k in 0..count {
            let tile = tile.as_ptr().add(k * width + column);
            for c in 0..C {
                let right = E::widen(tile.add(8 * c));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = _mm256_broadcast_ss(&*left.as_ptr().add(r * stride + k));
                    sums[c] = _mm256_fmadd_ps(x, right, sums[c]);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, sum) in sums.iter().enumerate() {
                let to = output.as_mut_ptr().add(r * width + column + 8 * c);
                _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), *sum));
            }
        }
    }
}

/// See [`crate::scalar::attention::soften`].
#[target_feature(enable = "avx2,fma")]
pub(crate) fn soften(scores: &mut [f32; PAGE], state: &mut Softness) {
    let (chunks, _) = scores.as_chunks_mut::<8>();
    // SAFETY: a chunk holds a register.
    let load = |chunk: &[f32; 8]| unsafe { _mm256_loadu_ps(chunk.as_ptr()) };
    let mut max = _mm256_set1_ps(state.max);
    for chunk in chunks.iter() {
        max = _mm256_max_ps(max, load(chunk));
    }
    let max = super::math::max_lanes(max);
    let mut sum = _mm256_setzero_ps();
    for chunk in chunks {
        let weight = exp(_mm256_sub_ps(load(chunk), _mm256_set1_ps(max)));
        sum = _mm256_add_ps(sum, weight);
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(chunk.as_mut_ptr(), weight) };
    }
    state.rescale = (state.max - max).exp();
    state.sum = state.sum * state.rescale + super::math::sum_lanes(sum);
    state.max = max;
}
