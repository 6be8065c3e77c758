//! Rows of f32 values, eight at a time. What each function computes is said in [`crate::scalar::vector`].

use super::lanes::{LANES, load, load_or, load_u16, store, store_u16};
use super::math::{self, activation};
use crate::table::{Activation, Angles, LayerNorm, VectorKernels};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use std::arch::x86_64::*;

pub(crate) const TABLE: VectorKernels = VectorKernels {
    rms_norm,
    layer_norm,
    rope_pairs,
    rope_halves,
    softmax,
    activate,
    activate_gate,
    exp,
    soft_cap,
    copy,
    scale,
    add,
    add_scaled,
    dot,
    max,
    chances: super::chances::chances,
    widen_f16,
    narrow_f16,
    widen_bf16,
    narrow_bf16,
};

#[target_feature(enable = "avx2,fma,f16c")]
fn rms_norm(rows: &mut [f32], weight: &[f32], epsilon: f32) {
    for row in rows.chunks_exact_mut(weight.len().max(1)) {
        let factor = _mm256_set1_ps(inverse_root(dot(row, row), row.len(), epsilon));
        zip(row, weight, |x, weight| {
            _mm256_mul_ps(_mm256_mul_ps(x, factor), weight)
        });
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn layer_norm(rows: &mut [f32], norm: LayerNorm<'_>) {
    for row in rows.chunks_exact_mut(norm.weight.len().max(1)) {
        let sum = sum_over(row.len(), |at, sum| _mm256_add_ps(sum, load(row, at)));
        let mean = sum / row.len() as f32;
        let mean_8 = _mm256_set1_ps(mean);
        let squares = sum_over(row.len(), |at, sum| {
            let x = _mm256_sub_ps(load_or(row, at, mean), mean_8);
            _mm256_fmadd_ps(x, x, sum)
        });
        let factor = _mm256_set1_ps(inverse_root(squares, row.len(), norm.epsilon));
        zip(row, norm.weight, |x, weight| {
            _mm256_mul_ps(_mm256_mul_ps(_mm256_sub_ps(x, mean_8), factor), weight)
        });
        if let Some(bias) = norm.bias {
            add(row, bias);
        }
    }
}

/// `1 / sqrt(squares / count + epsilon)`.
fn inverse_root(squares: f32, count: usize, epsilon: f32) -> f32 {
    1.0 / (squares / count as f32 + epsilon).sqrt()
}

#[target_feature(enable = "avx2,fma,f16c")]
fn rope_pairs(heads: &mut [f32], head_dim: usize, angles: Angles<'_>) {
    let planes = angles.cos.len();
    let twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    for head in heads.chunks_exact_mut(head_dim.max(1)) {
        let head = &mut head[..2 * planes];
        for at in (0..planes).step_by(LANES / 2) {
            let cos = _mm256_permutevar8x32_ps(load(angles.cos, at), twice);
            let sin = _mm256_permutevar8x32_ps(load(angles.sin, at), twice);
            let x = load(head, 2 * at);
            let swapped = _mm256_permute_ps::<0b10_11_00_01>(x);
            // Even lanes x·cos − y·sin, odd lanes y·cos + x·sin.
            let rotated = _mm256_fmaddsub_ps(x, cos, _mm256_mul_ps(swapped, sin));
            store(head, 2 * at, rotated);
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn rope_halves(heads: &mut [f32], head_dim: usize, angles: Angles<'_>) {
    let planes = angles.cos.len();
    for head in heads.chunks_exact_mut(head_dim.max(1)) {
        let (first, second) = head[..2 * planes].split_at_mut(planes);
        for at in (0..planes).step_by(LANES) {
            let (cos, sin) = (load(angles.cos, at), load(angles.sin, at));
            let (x, y) = (load(first, at), load(second, at));
            store(first, at, _mm256_fmsub_ps(x, cos, _mm256_mul_ps(y, sin)));
            store(second, at, _mm256_fmadd_ps(y, cos, _mm256_mul_ps(x, sin)));
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn softmax(row: &mut [f32]) {
    let max = _mm256_set1_ps(max(row));
    let mut sum = _mm256_setzero_ps();
    for at in (0..row.len()).step_by(LANES) {
        // Beyond the end −∞ gives 0.
        let x = load_or(row, at, f32::NEG_INFINITY);
        let e = math::exp(_mm256_sub_ps(x, max));
        sum = _mm256_add_ps(sum, e);
        store(row, at, e);
    }
    scale(row, 1.0 / math::sum_lanes(sum));
}

#[target_feature(enable = "avx2,fma,f16c")]
fn activate(x: &mut [f32], kind: Activation) {
    map(x, |x| activation(x, kind));
}

#[target_feature(enable = "avx2,fma,f16c")]
fn activate_gate(gate: &mut [f32], up: &[f32], kind: Activation) {
    zip(gate, up, |gate, up| {
        _mm256_mul_ps(activation(gate, kind), up)
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
fn exp(x: &mut [f32]) {
    map(x, |x| math::exp(x));
}

#[target_feature(enable = "avx2,fma,f16c")]
fn soft_cap(x: &mut [f32], cap: f32) {
    let cap = _mm256_set1_ps(cap);
    map(x, |x| _mm256_mul_ps(cap, math::tanh(_mm256_div_ps(x, cap))));
}

#[target_feature(enable = "avx2,fma,f16c")]
fn copy(x: &mut [f32], y: &[f32]) {
    zip(x, y, |_, y| y);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn scale(x: &mut [f32], factor: f32) {
    let factor = _mm256_set1_ps(factor);
    map(x, |x| _mm256_mul_ps(x, factor));
}

#[target_feature(enable = "avx2,fma,f16c")]
fn add(x: &mut [f32], y: &[f32]) {
    zip(x, y, |x, y| _mm256_add_ps(x, y));
}

#[target_feature(enable = "avx2,fma,f16c")]
fn add_scaled(x: &mut [f32], y: &[f32], factor: f32) {
    let factor = _mm256_set1_ps(factor);
    zip(x, y, |x, y| _mm256_fmadd_ps(factor, y, x));
}

#[target_feature(enable = "avx2,fma,f16c")]
fn dot(x: &[f32], y: &[f32]) -> f32 {
    sum_over(x.len(), |at, sum| {
        _mm256_fmadd_ps(load(x, at), load(y, at), sum)
    })
}

#[target_feature(enable = "avx2,fma,f16c")]
fn max(x: &[f32]) -> f32 {
    let mut max = _mm256_set1_ps(f32::NEG_INFINITY);
    for at in (0..x.len()).step_by(LANES) {
        // Where `x` is NaN the instruction gives its second argument.
        max = _mm256_max_ps(load_or(x, at, f32::NEG_INFINITY), max);
    }
    math::max_lanes(max)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn widen_f16(x: &[f16], out: &mut [f32]) {
    for at in (0..x.len()).step_by(LANES) {
        store(out, at, _mm256_cvtph_ps(load_u16(x.reinterpret_cast(), at)));
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn narrow_f16(x: &[f32], out: &mut [f16]) {
    for at in (0..x.len()).step_by(LANES) {
        let narrow = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(load(x, at));
        store_u16(out.reinterpret_cast_mut(), at, narrow);
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn widen_bf16(x: &[bf16], out: &mut [f32]) {
    for at in (0..x.len()).step_by(LANES) {
        let bits = _mm256_cvtepu16_epi32(load_u16(x.reinterpret_cast(), at));
        store(out, at, _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits)));
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn narrow_bf16(x: &[f32], out: &mut [bf16]) {
    for at in (0..x.len()).step_by(LANES) {
        let x = load(x, at);
        let bits = _mm256_castps_si256(x);
        // Half of the last kept place, less one where that place is even, rounds ties to even.
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
        // A NaN must not round to an infinity: set a bit of it that is kept.
        let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x40_0000));
        let is_nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(x, x));
        let kept = _mm256_srli_epi32::<16>(_mm256_blendv_epi8(rounded, quiet, is_nan));
        let packed = _mm256_permute4x64_epi64::<0b10_00>(_mm256_packus_epi32(kept, kept));
        store_u16(
            out.reinterpret_cast_mut(),
            at,
            _mm256_castsi256_si128(packed),
        );
    }
}

/// `x = f(x)`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn map(x: &mut [f32], f: impl Fn(__m256) -> __m256) {
    for at in (0..x.len()).step_by(LANES) {
        store(x, at, f(load(x, at)));
    }
}

/// `x = f(x, y)`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn zip(x: &mut [f32], y: &[f32], f: impl Fn(__m256, __m256) -> __m256) {
    for at in (0..x.len()).step_by(LANES) {
        store(x, at, f(load(x, at), load(y, at)));
    }
}

/// The sum that `add(at, sum)` builds up, `at` going over `len` values; it must add zeros beyond the end.
///
/// Four sums at a time, for one addition takes four cycles.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn sum_over(len: usize, add: impl Fn(usize, __m256) -> __m256) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 4];
    for at in (0..len).step_by(4 * LANES) {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = add(at + i * LANES, *sum);
        }
    }
    let [a, b, c, d] = sums;
    math::sum_lanes(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)))
}
