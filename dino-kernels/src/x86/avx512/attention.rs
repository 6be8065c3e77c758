//! Attention over one tile on 512-bit registers.
//!
//! Scores and sums are small matrix products with the tile as the right-hand side; the layout of the cache
//! makes both run along registers. Four rows (heads that share the keys, or tokens) by four registers of
//! positions or features keep sixteen sums in registers, so that a key is loaded and widened once for four rows.

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
const STEP: usize = 64;

/// See [`crate::scalar::attention::scores`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn scores<E: Widen>(queries: &[f32], keys: &[E], scores: &mut [f32]) {
    let dim = keys.len() / PAGE;
    scores.fill(0.0);
    // Rows of the left side are `dim` long and run over the rows of the tile, which are `PAGE` long.
    multiply_rows(queries, dim, keys, PAGE, dim, scores);
}

/// See [`crate::scalar::attention::values`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn values<E: Widen>(weights: &[f32], values: &[E], count: usize, output: &mut [f32]) {
    multiply_rows(weights, PAGE, values, values.len() / PAGE, count, output);
}

/// `output += left · tile` over the first `count` rows of the tile.
///
/// `left` is `[rows, stride]`, `tile` `[≥ count, width]`, `output` `[rows, width]`; `width` is a multiple of 16.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
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
            3 => multiply::<E, 3>(left, stride, tile, width, count, output),
            _ => multiply::<E, 4>(left, stride, tile, width, count, output),
        };
    }
}

/// `R` rows of [`multiply_rows`]; returns `R`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
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
        // SAFETY: AVX-512 is enabled; columns up to `width`, rows up to `R` and tile rows up
        // to `count` lie inside by the assertions above.
        unsafe {
            column += match width - column {
                STEP.. => {
                    multiply_columns::<E, R, 4>(left, stride, tile, width, count, column, output);
                    STEP
                }
                32.. => {
                    multiply_columns::<E, R, 2>(left, stride, tile, width, count, column, output);
                    32
                }
                _ => {
                    multiply_columns::<E, R, 1>(left, stride, tile, width, count, column, output);
                    16
                }
            };
        }
    }
    R
}

/// `R` rows by `C` registers of columns.
///
/// # Safety
/// As in [`multiply`], with `16 * C` columns from `column` on inside of `width`.
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
        let mut sums = [[_mm512_setzero_ps(); C]; R];
        for k in 0..count {
            let tile = tile.as_ptr().add(k * width + column);
            for c in 0..C {
                let right = E::widen(tile.add(16 * c));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*left.as_ptr().add(r * stride + k));
                    sums[c] = _mm512_fmadd_ps(x, right, sums[c]);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, sum) in sums.iter().enumerate() {
                let to = output.as_mut_ptr().add(r * width + column + 16 * c);
                _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), *sum));
            }
        }
    }
}

/// See [`crate::scalar::attention::soften`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn soften(scores: &mut [f32; PAGE], state: &mut Softness) {
    let (chunks, _) = scores.as_chunks_mut::<16>();
    // SAFETY: a chunk holds a register.
    let load = |chunk: &[f32; 16]| unsafe { _mm512_loadu_ps(chunk.as_ptr()) };
    let mut max = _mm512_set1_ps(state.max);
    for chunk in chunks.iter() {
        max = _mm512_max_ps(max, load(chunk));
    }
    let max = _mm512_reduce_max_ps(max);
    let mut sum = _mm512_setzero_ps();
    for chunk in chunks {
        let weight = exp(_mm512_sub_ps(load(chunk), _mm512_set1_ps(max)));
        sum = _mm512_add_ps(sum, weight);
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(chunk.as_mut_ptr(), weight) };
    }
    state.rescale = (state.max - max).exp();
    state.sum = state.sum * state.rescale + _mm512_reduce_add_ps(sum);
    state.max = max;
}
