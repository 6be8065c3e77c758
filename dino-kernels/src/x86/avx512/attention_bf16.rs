//! Attention over planes of bf16 where the processor multiplies pairs of bf16 (AVX-512 BF16).
//!
//! One instruction multiplies and adds twice as much as one on f32, and nothing is widened. The left side, queries or
//! weights, is rounded to bf16 for it. The order of a sum is the same for any number of rows, here too.

use super::attention as wide;
use crate::kv::{PAGE, Plane};
use crate::table::{Ahead, AttentionKernels};
use half::bf16;
use std::arch::x86_64::*;

pub(crate) const TABLE: AttentionKernels = AttentionKernels {
    scores,
    values,
    multiplies_bf16: true,
    ..wide::TABLE
};

/// See [`crate::scalar::attention::scores`].
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn scores(queries: &[f32], keys: Plane<'_>, scores: &mut [f32], ahead: Ahead<'_>) {
    let Plane::Bf16(plane) = keys else {
        return wide::scores(queries, keys, scores, ahead);
    };
    let dim = keys.dim();
    let shape = Shape {
        left: queries,
        stride: dim,
        count: dim,
        plane,
        width: PAGE,
    };
    multiply::<false>(&shape, scores, ahead);
}

/// See [`crate::scalar::attention::values`].
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn values(weights: &[f32], values: Plane<'_>, count: usize, output: &mut [f32], ahead: Ahead<'_>) {
    let Plane::Bf16(plane) = values else {
        return wide::values(weights, values, count, output, ahead);
    };
    let shape = Shape {
        left: weights,
        stride: PAGE,
        count,
        plane,
        width: values.dim(),
    };
    multiply::<true>(&shape, output, ahead);
}

/// Elements of the left side that are rounded at once, for each row.
const PART: usize = 64;

/// A product of `[rows, count]` with the pairs of rows of a plane, `[count / 2][width][2]`.
struct Shape<'a> {
    /// Rows of `stride`, of which the first `count` elements are taken.
    left: &'a [f32],
    stride: usize,
    count: usize,
    plane: &'a [bf16],
    width: usize,
}

/// `output = left · plane`, or `+=` if `ADD`, with `output` `[rows, width]`.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn multiply<const ADD: bool>(shape: &Shape<'_>, output: &mut [f32], ahead: Ahead<'_>) {
    let rows = output.len() / shape.width;
    assert!(
        shape.count <= shape.stride && shape.left.len() >= rows * shape.stride,
        "rows of the left side"
    );
    assert!(
        shape.plane.len() >= shape.count.next_multiple_of(2) * shape.width,
        "rows of the plane"
    );
    let mut row = 0;
    while row < rows {
        let left = &shape.left[row * shape.stride..];
        let output = &mut output[row * shape.width..];
        let ahead = if row == 0 { ahead } else { &[] };
        row += match rows - row {
            1 => multiply_rows::<ADD, 1>(shape, left, output, ahead),
            2 => multiply_rows::<ADD, 2>(shape, left, output, ahead),
            3 => multiply_rows::<ADD, 3>(shape, left, output, ahead),
            4 | 5 => multiply_rows::<ADD, 4>(shape, left, output, ahead),
            _ => multiply_rows::<ADD, 6>(shape, left, output, ahead),
        };
    }
}

/// `R` rows of [`multiply`]; returns `R`.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn multiply_rows<const ADD: bool, const R: usize>(
    shape: &Shape<'_>,
    left: &[f32],
    output: &mut [f32],
    ahead: Ahead<'_>,
) -> usize {
    assert!(output.len() >= R * shape.width, "rows of the output");
    for first in (0..shape.count).step_by(PART) {
        let count = PART.min(shape.count - first);
        let rounded = round::<R>(left, shape.stride, first, count);
        let part = Part {
            plane: &shape.plane[first * shape.width..],
            width: shape.width,
            pairs: count.div_ceil(2),
            // Only the first part of scores overwrites.
            add: ADD || first > 0,
            ahead: if first == 0 { ahead } else { &[] },
        };
        let mut column = 0;
        while column < shape.width {
            // SAFETY: AVX-512 BF16 is enabled; columns up to `width`, rows up to `R` and pairs up to half of `count` lie
            // inside by the assertions above.
            unsafe {
                column += match shape.width - column {
                    64.. => multiply_columns::<R, 4>(&part, &rounded, column, output),
                    32.. => multiply_columns::<R, 2>(&part, &rounded, column, output),
                    _ => multiply_columns::<R, 1>(&part, &rounded, column, output),
                };
            }
        }
    }
    R
}

/// Elements `first..first + count` of `R` rows, in pairs; zero beyond.
#[inline]
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn round<const R: usize>(
    left: &[f32],
    stride: usize,
    first: usize,
    count: usize,
) -> [[i32; PART / 2]; R] {
    let mut rounded = [[0; PART / 2]; R];
    for (r, rounded) in rounded.iter_mut().enumerate() {
        let row = &left[r * stride + first..r * stride + first + count];
        for (index, to) in rounded.chunks_exact_mut(8).enumerate() {
            let elements = super::lanes::load(row, 16 * index);
            // SAFETY: the chunk holds 256 bits; the two types are bits alike.
            unsafe {
                let halves = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(elements));
                _mm256_storeu_si256(to.as_mut_ptr().cast(), halves);
            }
        }
    }
    rounded
}

/// What is multiplied at once.
struct Part<'a> {
    /// `[pairs][width][2]`.
    plane: &'a [bf16],
    width: usize,
    pairs: usize,
    add: bool,
    ahead: Ahead<'a>,
}

/// `R` rows by `C` registers of columns; returns the columns.
///
/// # Safety
/// AVX-512 BF16 is enabled; `16 * C` columns from `column` on are inside of the width, `pairs` are in the plane and at
/// most half of [`PART`], and `output` has `R` rows.
#[inline(always)]
unsafe fn multiply_columns<const R: usize, const C: usize>(
    part: &Part<'_>,
    rounded: &[[i32; PART / 2]; R],
    column: usize,
    output: &mut [f32],
) -> usize {
    // SAFETY: by the contract.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); C]; R];
        for pair in 0..part.pairs {
            if column == 0 {
                wide::fetch(part.ahead, part.pairs, pair);
            }
            let from = part.plane.as_ptr().add(2 * (pair * part.width + column));
            let mut right = [_mm512_setzero_si512(); C];
            for (c, right) in right.iter_mut().enumerate() {
                *right = _mm512_loadu_si512(from.add(32 * c).cast());
            }
            for (sums, rounded) in sums.iter_mut().zip(rounded) {
                let x = _mm512_set1_epi32(*rounded.get_unchecked(pair));
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = _mm512_dpbf16_ps(*sum, as_bf16(x), as_bf16(right));
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, sum) in sums.iter().enumerate() {
                let to = output.as_mut_ptr().add(r * part.width + column + 16 * c);
                let sum = if part.add {
                    _mm512_add_ps(_mm512_loadu_ps(to), *sum)
                } else {
                    *sum
                };
                _mm512_storeu_ps(to, sum);
            }
        }
    }
    16 * C
}

#[inline(always)]
fn as_bf16(words: __m512i) -> __m512bh {
    // SAFETY: the same 512 bits.
    unsafe { std::mem::transmute(words) }
}
