//! Attention over planes of bf16 where the processor multiplies pairs of bf16 (AVX-512 BF16).
//!
//! One instruction multiplies and adds twice as much as one on f32, and nothing is widened. The left side, queries or
//! weights, is rounded to bf16 for it. The order of a sum is the same for any number of rows, here and where they lie
//! [along the registers](super::attention_lanes).

use super::attention as wide;
use super::attention_lanes::{self, weight};
use super::math::exp;
use super::pairs::{Fresh, Onto, Product, multiply, round};
use crate::kv::{PAGE, Plane};
use crate::table::{Ahead, AttentionKernels, PairKernels, Softness};
use half::bf16;
use std::arch::x86_64::*;

pub(crate) const TABLE: AttentionKernels = AttentionKernels {
    scores,
    values,
    pairs: Some(PairKernels {
        bases,
        soften,
        lanes: attention_lanes::KERNELS,
    }),
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
    let left = Left {
        rows: queries,
        stride: dim,
        count: dim,
    };
    left.multiply(plane, PAGE, true, scores, ahead);
}

/// See [`crate::scalar::attention::values`].
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn values(weights: &[f32], values: Plane<'_>, count: usize, output: &mut [f32], ahead: Ahead<'_>) {
    let Plane::Bf16(plane) = values else {
        return wide::values(weights, values, count, output, ahead);
    };
    let left = Left {
        rows: weights,
        stride: PAGE,
        count,
    };
    left.multiply(plane, values.dim(), false, output, ahead);
}

/// See [`PairKernels::bases`].
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn bases(queries: &[f32], center: &[bf16], bases: &mut [f32]) {
    let dim = center.len();
    let center: &[u32] = bytemuck::cast_slice(center);
    let left = Left {
        rows: queries,
        stride: dim,
        count: dim,
    };
    for (group, bases) in bases.chunks_mut(ROWS).enumerate() {
        // One column would do; a register is the least that there is.
        let mut sums = [[0.0; 16]; ROWS];
        for (part, center) in center.chunks(PART / 2).enumerate() {
            let words = left.round(group * ROWS, bases.len(), part * PART);
            let mut right = [[0; 16]; PART / 2];
            for (to, word) in right.iter_mut().zip(center) {
                to.fill(*word);
            }
            let product = Product {
                left: words.as_flattened(),
                row_step: PART / 2,
                pair_step: 1,
                right: right.as_flattened(),
                width: 16,
                pairs: center.len(),
                ahead: &[],
            };
            multiply(&product, Onto, sums[..bases.len()].as_flattened_mut());
        }
        for (base, sums) in bases.iter_mut().zip(sums) {
            *base = sums[0];
        }
    }
}

/// See [`PairKernels::soften`].
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn soften(scores: &mut [f32], bases: &[f32], states: &mut [Softness]) {
    let (rows, _) = scores.as_chunks_mut::<PAGE>();
    // SAFETY: a chunk holds a register.
    let load = |chunk: &[f32; 16]| unsafe { _mm512_loadu_ps(chunk.as_ptr()) };
    for ((row, base), state) in rows.iter_mut().zip(bases).zip(states) {
        let (chunks, _) = row.as_chunks_mut::<16>();
        let mut max = _mm512_set1_ps(f32::NEG_INFINITY);
        for chunk in chunks.iter() {
            max = _mm512_max_ps(max, load(chunk));
        }
        let max = state.max.max(_mm512_reduce_max_ps(max) + base);
        let shift = _mm512_set1_ps(max - base);
        let lowered = |chunk: &[f32; 16]| _mm512_sub_ps(load(chunk), shift);
        let mut sum = _mm256_setzero_ps();
        let (pairs, _) = chunks.as_chunks_mut::<2>();
        for [low, high] in pairs {
            let weights = [weight(lowered(low)), weight(lowered(high))];
            sum = add_pairs(sum, round(weights[0], weights[1]));
            for (chunk, weights) in [low, high].into_iter().zip(weights) {
                // SAFETY: a chunk holds a register.
                unsafe { _mm512_storeu_ps(chunk.as_mut_ptr(), weights) };
            }
        }
        if max != state.max {
            state.rescale = _mm512_cvtss_f32(exp(_mm512_set1_ps(state.max - max)));
        } else {
            state.rescale = 1.0;
        }
        state.max = max;
        state.sum = state.sum * state.rescale + sum_of(sum);
    }
}

/// `sums` and the pairs of 16 words, eight at a time.
#[inline]
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn add_pairs(sums: __m256, words: __m512i) -> __m256 {
    let ones = as_half_bf16(_mm256_set1_epi32(0x3f80_3f80));
    let low = as_half_bf16(_mm512_castsi512_si256(words));
    let high = as_half_bf16(_mm512_extracti64x4_epi64::<1>(words));
    _mm256_dpbf16_ps(_mm256_dpbf16_ps(sums, low, ones), high, ones)
}

#[inline(always)]
fn as_half_bf16(words: __m256i) -> __m256bh {
    // SAFETY: the same 256 bits.
    unsafe { std::mem::transmute(words) }
}

/// The sum of eight, halves first.
#[inline]
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn sum_of(sums: __m256) -> f32 {
    let four = _mm_add_ps(
        _mm256_castps256_ps128(sums),
        _mm256_extractf128_ps::<1>(sums),
    );
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// Elements of the left side that are rounded at once, for each row.
const PART: usize = 64;
/// Rows that are rounded at once.
const ROWS: usize = 6;

/// The left side of a product: rows of `stride`, of which the first `count` elements are taken.
struct Left<'a> {
    rows: &'a [f32],
    stride: usize,
    count: usize,
}

impl Left<'_> {
    /// `output = left · plane` if it is `fresh`, else `+=`, with pairs of rows of the plane, `[count / 2, width]`, and
    /// `output` `[rows, width]`.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
    )]
    fn multiply(
        &self,
        plane: &[bf16],
        width: usize,
        fresh: bool,
        output: &mut [f32],
        ahead: Ahead<'_>,
    ) {
        let plane: &[u32] = bytemuck::cast_slice(plane);
        for (group, output) in output.chunks_mut(ROWS * width).enumerate() {
            for first in (0..self.count).step_by(PART) {
                let pairs = PART.min(self.count - first).div_ceil(2);
                let words = self.round(group * ROWS, output.len() / width, first);
                let product = Product {
                    left: words.as_flattened(),
                    row_step: PART / 2,
                    pair_step: 1,
                    right: &plane[first / 2 * width..],
                    width,
                    pairs,
                    ahead: if group == 0 && first == 0 { ahead } else { &[] },
                };
                if fresh && first == 0 {
                    multiply(&product, Fresh, output);
                } else {
                    multiply(&product, Onto, output);
                }
            }
        }
    }

    /// The words of up to [`PART`] elements from `first` on of `count` rows from `row` on; zero beyond.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
    )]
    fn round(&self, row: usize, count: usize, first: usize) -> [[u32; PART / 2]; ROWS] {
        let mut words = [[0; PART / 2]; ROWS];
        for (index, words) in words[..count].iter_mut().enumerate() {
            let start = (row + index) * self.stride;
            let row = &self.rows[start + first..start + self.count.min(first + PART)];
            let (registers, _) = words.as_chunks_mut::<16>();
            for (index, to) in registers.iter_mut().enumerate() {
                let load = |at| super::lanes::load(row, at);
                let rounded = round(load(32 * index), load(32 * index + 16));
                // SAFETY: the chunk holds a register.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), rounded) };
            }
        }
        words
    }
}
