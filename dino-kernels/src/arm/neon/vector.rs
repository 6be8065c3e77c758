//! Rows of f32 values, four at a time. What each function computes is said in [`crate::scalar::vector`].

use super::lanes::{self, LANES, load, load_or, load_u16, store, store_u16};
use super::math::{self, activation};
use crate::table::{Activation, Angles, LayerNorm, VectorKernels};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use std::arch::aarch64::*;

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
    ..crate::scalar::vector::TABLE
};

#[target_feature(enable = "neon")]
fn rms_norm(rows: &mut [f32], weight: &[f32], epsilon: f32) {
    for row in rows.chunks_exact_mut(weight.len().max(1)) {
        let factor = inverse_root(dot(row, row), row.len(), epsilon);
        zip(row, weight, |x, weight| {
            vmulq_f32(vmulq_n_f32(x, factor), weight)
        });
    }
}

#[target_feature(enable = "neon")]
fn layer_norm(rows: &mut [f32], norm: LayerNorm<'_>) {
    for row in rows.chunks_exact_mut(norm.weight.len().max(1)) {
        let sum = sum_over(row.len(), |at, sum| vaddq_f32(sum, load(row, at)));
        let mean = sum / row.len() as f32;
        let mean_4 = vdupq_n_f32(mean);
        let squares = sum_over(row.len(), |at, sum| {
            let x = vsubq_f32(load_or(row, at, mean), mean_4);
            vfmaq_f32(sum, x, x)
        });
        let factor = inverse_root(squares, row.len(), norm.epsilon);
        zip(row, norm.weight, |x, weight| {
            vmulq_f32(vmulq_n_f32(vsubq_f32(x, mean_4), factor), weight)
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

#[target_feature(enable = "neon")]
fn rope_pairs(heads: &mut [f32], head_dim: usize, angles: Angles<'_>) {
    let planes = angles.cos.len();
    for head in heads.chunks_exact_mut(head_dim.max(1)) {
        let head = &mut head[..2 * planes];
        for at in (0..planes).step_by(LANES) {
            let (cos, sin) = (load(angles.cos, at), load(angles.sin, at));
            let (low, high) = (load(head, 2 * at), load(head, 2 * at + LANES));
            let (x, y) = (vuzp1q_f32(low, high), vuzp2q_f32(low, high));
            let (x, y) = rotate(x, y, cos, sin);
            store(head, 2 * at, vzip1q_f32(x, y));
            store(head, 2 * at + LANES, vzip2q_f32(x, y));
        }
    }
}

#[target_feature(enable = "neon")]
fn rope_halves(heads: &mut [f32], head_dim: usize, angles: Angles<'_>) {
    let planes = angles.cos.len();
    for head in heads.chunks_exact_mut(head_dim.max(1)) {
        let (first, second) = head[..2 * planes].split_at_mut(planes);
        for at in (0..planes).step_by(LANES) {
            let (cos, sin) = (load(angles.cos, at), load(angles.sin, at));
            let (x, y) = rotate(load(first, at), load(second, at), cos, sin);
            store(first, at, x);
            store(second, at, y);
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn rotate(
    x: float32x4_t,
    y: float32x4_t,
    cos: float32x4_t,
    sin: float32x4_t,
) -> (float32x4_t, float32x4_t) {
    (
        vfmsq_f32(vmulq_f32(x, cos), y, sin),
        vfmaq_f32(vmulq_f32(y, cos), x, sin),
    )
}

#[target_feature(enable = "neon")]
fn softmax(row: &mut [f32]) {
    let max = vdupq_n_f32(max(row));
    let mut sum = vdupq_n_f32(0.0);
    for at in (0..row.len()).step_by(LANES) {
        // Beyond the end −∞ gives 0.
        let e = math::exp(vsubq_f32(load_or(row, at, f32::NEG_INFINITY), max));
        sum = vaddq_f32(sum, e);
        store(row, at, e);
    }
    scale(row, 1.0 / vaddvq_f32(sum));
}

#[target_feature(enable = "neon")]
fn activate(x: &mut [f32], kind: Activation) {
    map(x, |x| activation(x, kind));
}

#[target_feature(enable = "neon")]
fn activate_gate(gate: &mut [f32], up: &[f32], kind: Activation) {
    zip(gate, up, |gate, up| vmulq_f32(activation(gate, kind), up));
}

#[target_feature(enable = "neon")]
fn exp(x: &mut [f32]) {
    map(x, |x| math::exp(x));
}

#[target_feature(enable = "neon")]
fn soft_cap(x: &mut [f32], cap: f32) {
    let cap = vdupq_n_f32(cap);
    map(x, |x| vmulq_f32(cap, math::tanh(vdivq_f32(x, cap))));
}

#[target_feature(enable = "neon")]
fn scale(x: &mut [f32], factor: f32) {
    map(x, |x| vmulq_n_f32(x, factor));
}

#[target_feature(enable = "neon")]
fn add(x: &mut [f32], y: &[f32]) {
    zip(x, y, |x, y| vaddq_f32(x, y));
}

#[target_feature(enable = "neon")]
fn add_scaled(x: &mut [f32], y: &[f32], factor: f32) {
    zip(x, y, |x, y| vfmaq_n_f32(x, y, factor));
}

#[target_feature(enable = "neon")]
fn dot(x: &[f32], y: &[f32]) -> f32 {
    sum_over(x.len(), |at, sum| vfmaq_f32(sum, load(x, at), load(y, at)))
}

#[target_feature(enable = "neon")]
fn max(x: &[f32]) -> f32 {
    let mut max = vdupq_n_f32(f32::NEG_INFINITY);
    for at in (0..x.len()).step_by(LANES) {
        // This maximum passes NaN over.
        max = vmaxnmq_f32(max, load_or(x, at, f32::NEG_INFINITY));
    }
    vmaxnmvq_f32(max)
}

#[target_feature(enable = "neon")]
fn widen_f16(x: &[f16], out: &mut [f32]) {
    for at in (0..x.len()).step_by(LANES) {
        let narrow = load_u16(x.reinterpret_cast(), at);
        store(out, at, lanes::widen_f16(narrow));
    }
}

#[target_feature(enable = "neon")]
fn narrow_f16(x: &[f32], out: &mut [f16]) {
    for at in (0..x.len()).step_by(LANES) {
        let narrow = lanes::narrow_f16(load(x, at));
        store_u16(out.reinterpret_cast_mut(), at, narrow);
    }
}

#[target_feature(enable = "neon")]
fn widen_bf16(x: &[bf16], out: &mut [f32]) {
    for at in (0..x.len()).step_by(LANES) {
        let narrow = load_u16(x.reinterpret_cast(), at);
        store(out, at, lanes::widen_bf16(narrow));
    }
}

#[target_feature(enable = "neon")]
fn narrow_bf16(x: &[f32], out: &mut [bf16]) {
    for at in (0..x.len()).step_by(LANES) {
        let x = load(x, at);
        let bits = vreinterpretq_u32_f32(x);
        // Half of the last kept place, less one where that place is even, rounds ties to even.
        let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
        let rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
        // A NaN must not round to an infinity: set a bit of it that is kept.
        let quiet = vorrq_u32(bits, vdupq_n_u32(0x40_0000));
        let kept = vbslq_u32(vceqq_f32(x, x), rounded, quiet);
        store_u16(out.reinterpret_cast_mut(), at, vshrn_n_u32::<16>(kept));
    }
}

/// `x = f(x)`.
#[inline]
#[target_feature(enable = "neon")]
fn map(x: &mut [f32], f: impl Fn(float32x4_t) -> float32x4_t) {
    for at in (0..x.len()).step_by(LANES) {
        store(x, at, f(load(x, at)));
    }
}

/// `x = f(x, y)`.
#[inline]
#[target_feature(enable = "neon")]
fn zip(x: &mut [f32], y: &[f32], f: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) {
    for at in (0..x.len()).step_by(LANES) {
        store(x, at, f(load(x, at), load(y, at)));
    }
}

/// The sum that `add(at, sum)` builds up, `at` going over `len` values; it must add zeros beyond the end.
///
/// Four sums at a time, for one addition takes four cycles.
#[inline]
#[target_feature(enable = "neon")]
fn sum_over(len: usize, add: impl Fn(usize, float32x4_t) -> float32x4_t) -> f32 {
    let mut sums = [vdupq_n_f32(0.0); 4];
    for at in (0..len).step_by(4 * LANES) {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = add(at + i * LANES, *sum);
        }
    }
    let [a, b, c, d] = sums;
    vaddvq_f32(vaddq_f32(vaddq_f32(a, b), vaddq_f32(c, d)))
}
