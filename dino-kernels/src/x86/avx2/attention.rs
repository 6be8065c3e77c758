//! Attention over one tile on 256-bit registers.
//!
//! Scores and sums are small matrix products with the plane as the right-hand side; the layout of the cache makes both
//! run along registers. Three rows (heads that share the keys, or tokens) by four registers of positions or features keep
//! 12 sums in registers, so that an element is loaded and widened once for three rows. Each sum runs over the rows of the
//! plane in their order, whatever the tile: the bits do not depend on how many rows there are.

use super::math::{exp, max_lanes, sum_lanes};
use super::planes::{Bytes, Coded, Floats, Nibbles, OfKeys, OfValues, Tile};
use crate::kv::{BLOCK, PAGE, Plane};
use crate::table::{Ahead, AttentionKernels, Softness};
use std::arch::x86_64::*;

pub(crate) const TABLE: AttentionKernels = AttentionKernels {
    scores,
    soften,
    values,
    widen_keys,
    widen_values,
    pairs: None,
};

/// `$body` with `$tile` as the [`Tile`] of a plane that has `$columns` columns and scales that run as `$scaling` says.
macro_rules! with_tile {
    ($plane:expr, $columns:expr, $scaling:ty, $tile:ident => $body:expr) => {
        match $plane {
            Plane::F32(elements) => {
                let $tile = Floats {
                    elements,
                    columns: $columns,
                };
                $body
            }
            Plane::F16(elements) => {
                let $tile = Floats {
                    elements,
                    columns: $columns,
                };
                $body
            }
            Plane::Bf16(elements) => {
                let $tile = Floats {
                    elements,
                    columns: $columns,
                };
                $body
            }
            Plane::Q8_0 { codes, scales } => {
                let codes = bytemuck::cast_slice(codes);
                let $tile = Coded::<Bytes, $scaling>::new(codes, scales, $columns);
                $body
            }
            Plane::Q4_0 { codes, scales } => {
                let $tile = Coded::<Nibbles, $scaling>::new(codes, scales, $columns);
                $body
            }
        }
    };
}

/// See [`crate::scalar::attention::scores`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn scores(queries: &[f32], keys: Plane<'_>, scores: &mut [f32], ahead: Ahead<'_>) {
    let dim = keys.dim();
    let shape = Shape {
        left: queries,
        stride: dim,
        count: dim,
        width: PAGE,
        ahead,
    };
    with_tile!(keys, PAGE, OfKeys, tile => multiply::<_, false>(&shape, tile, scores));
}

/// See [`crate::scalar::attention::values`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn values(
    weights: &[f32],
    values: Plane<'_>,
    count: usize,
    output: &mut [f32],
    ahead: Ahead<'_>,
) {
    let dim = values.dim();
    let shape = Shape {
        left: weights,
        stride: PAGE,
        count,
        width: dim,
        ahead,
    };
    with_tile!(values, dim, OfValues, tile => multiply::<_, true>(&shape, tile, output));
}

/// See [`crate::Kernels::widen_keys`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn widen_keys(keys: Plane<'_>, wide: &mut [f32]) {
    with_tile!(keys, PAGE, OfKeys, tile => widen(tile, PAGE, wide));
}

/// See [`crate::Kernels::widen_values`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn widen_values(values: Plane<'_>, wide: &mut [f32]) {
    let dim = values.dim();
    with_tile!(values, dim, OfValues, tile => widen(tile, dim, wide));
}

/// `wide = tile`, rows of `width` elements, a multiple of 16.
#[target_feature(enable = "avx2,fma,f16c")]
fn widen<T: Tile>(tile: T, width: usize, wide: &mut [f32]) {
    for (block, rows) in wide.chunks_mut(BLOCK * width).enumerate() {
        for column in (0..width).step_by(8) {
            // SAFETY: AVX2, FMA and F16C are enabled; the plane has as many rows and columns as `wide`.
            let held = unsafe { tile.hold(block * BLOCK, column) };
            for (row, to) in rows.chunks_exact_mut(width).enumerate() {
                let to = &mut to[column..column + 8];
                // SAFETY: as above; the slice holds a register.
                unsafe {
                    let elements = tile.load(block * BLOCK + row, column, &held);
                    _mm256_storeu_ps(to.as_mut_ptr(), elements);
                }
            }
        }
    }
}

/// A product of `[rows, count]` with `[count, width]`.
struct Shape<'a> {
    /// The left side, rows of `stride`, of which the first `count` elements are taken.
    left: &'a [f32],
    stride: usize,
    count: usize,
    /// Columns of the plane and of the output; a multiple of 16.
    width: usize,
    /// Fetched on the way, by one of the groups of rows.
    ahead: Ahead<'a>,
}

/// `output = left · tile`, or `+=` if `ADD`, with `output` `[rows, width]`.
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply<T: Tile, const ADD: bool>(shape: &Shape<'_>, tile: T, output: &mut [f32]) {
    let rows = output.len() / shape.width;
    assert!(
        shape.count <= shape.stride && shape.left.len() >= rows * shape.stride,
        "rows of the left side"
    );
    let mut row = 0;
    while row < rows {
        let left = &shape.left[row * shape.stride..];
        let output = &mut output[row * shape.width..];
        row += match rows - row {
            1 => multiply_rows::<T, ADD, 1>(shape, left, tile, output),
            2 => multiply_rows::<T, ADD, 2>(shape, left, tile, output),
            _ => multiply_rows::<T, ADD, 3>(shape, left, tile, output),
        };
    }
}

/// `R` rows of [`multiply`]; returns `R`.
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply_rows<T: Tile, const ADD: bool, const R: usize>(
    shape: &Shape<'_>,
    left: &[f32],
    tile: T,
    output: &mut [f32],
) -> usize {
    let width = shape.width;
    assert!(left.len() >= (R - 1) * shape.stride + shape.count && output.len() >= R * width);
    let mut column = 0;
    while column < width {
        // SAFETY: AVX2, FMA and F16C are enabled; columns up to `width` and rows up to `R` lie inside by the assertion above, and
        // the plane has `count` rows of `width` columns, which the table's doors checked.
        unsafe {
            column += match width - column {
                32.. => multiply_columns::<T, ADD, R, 4>(shape, left, tile, column, output),
                _ => multiply_columns::<T, ADD, R, 2>(shape, left, tile, column, output),
            };
        }
    }
    R
}

/// `R` rows by `C` registers of columns; returns the columns.
///
/// # Safety
/// As in [`multiply_rows`], with `8 * C` columns from `column` on inside of the width.
#[inline(always)]
unsafe fn multiply_columns<T: Tile, const ADD: bool, const R: usize, const C: usize>(
    shape: &Shape<'_>,
    left: &[f32],
    tile: T,
    column: usize,
    output: &mut [f32],
) -> usize {
    // SAFETY: by the contract.
    unsafe {
        // The first columns of the last rows, which all products have once.
        let fetches = column == 0 && left.len() < (R + 1) * shape.stride;
        let mut sums = [[_mm256_setzero_ps(); C]; R];
        for block in (0..shape.count).step_by(BLOCK) {
            let mut held = [tile.hold(block, column); C];
            for (c, held) in held.iter_mut().enumerate().skip(1) {
                *held = tile.hold(block, column + 8 * c);
            }
            for k in block..(block + BLOCK).min(shape.count) {
                if fetches {
                    fetch(shape.ahead, shape.count, k);
                }
                let mut right = [_mm256_setzero_ps(); C];
                for (c, right) in right.iter_mut().enumerate() {
                    *right = tile.load(k, column + 8 * c, &held[c]);
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = _mm256_set1_ps(*left.as_ptr().add(r * shape.stride + k));
                    for (sum, right) in sums.iter_mut().zip(right) {
                        *sum = _mm256_fmadd_ps(x, right, *sum);
                    }
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, sum) in sums.iter().enumerate() {
                let to = output.as_mut_ptr().add(r * shape.width + column + 8 * c);
                let sum = if ADD {
                    _mm256_add_ps(_mm256_loadu_ps(to), *sum)
                } else {
                    *sum
                };
                _mm256_storeu_ps(to, sum);
            }
        }
    }
    8 * C
}

/// Fetches the part of what lies ahead that falls to step `step` of `steps`.
#[inline(always)]
fn fetch(ahead: Ahead<'_>, steps: usize, step: usize) {
    let part = ahead.len().div_ceil(steps).next_multiple_of(64);
    for at in (step * part..ahead.len().min((step + 1) * part)).step_by(64) {
        let line = ahead[at..].as_ptr();
        // SAFETY: a prefetch of an address within a slice; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
    }
}

/// See [`crate::scalar::attention::soften`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn soften(scores: &mut [f32], bases: &[f32], states: &mut [Softness]) {
    let (rows, _) = scores.as_chunks_mut::<PAGE>();
    // SAFETY: a chunk holds a register.
    let load = |chunk: &[f32; 8]| unsafe { _mm256_loadu_ps(chunk.as_ptr()) };
    for ((row, base), state) in rows.iter_mut().zip(bases).zip(states) {
        let (chunks, _) = row.as_chunks_mut::<8>();
        let mut max = _mm256_set1_ps(f32::NEG_INFINITY);
        for chunk in chunks.iter() {
            max = _mm256_max_ps(max, load(chunk));
        }
        let max = state.raise(max_lanes(max) + base);
        let shift = _mm256_set1_ps(max - base);
        let mut sum = _mm256_setzero_ps();
        for chunk in chunks {
            let weight = exp(_mm256_sub_ps(load(chunk), shift));
            sum = _mm256_add_ps(sum, weight);
            // SAFETY: as above.
            unsafe { _mm256_storeu_ps(chunk.as_mut_ptr(), weight) };
        }
        state.sum = state.sum * state.rescale + sum_lanes(sum);
    }
}
