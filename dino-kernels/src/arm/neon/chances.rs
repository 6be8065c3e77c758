//! Chances of tokens, four at a time; see [`crate::scalar::chances`] for why nothing is fused here.

use crate::scalar::chances::{LANES, LEAST, LN_2_HIGH, LN_2_LOW, ROUNDER, TAYLOR};
use std::arch::aarch64::*;
use std::f32::consts::LOG2_E;

/// See [`crate::scalar::chances::chances`].
#[target_feature(enable = "neon")]
pub(crate) fn chances(logits: &[f32], max: f32, temperature: f32, out: &mut [f32]) -> f64 {
    let mut sums = [vdupq_n_f64(0.0); LANES / 2];
    let (whole, rest) = logits.as_chunks::<LANES>();
    let (out, out_rest) = out.as_chunks_mut::<LANES>();
    for (logits, out) in whole.iter().zip(out) {
        step(logits, max, temperature, out, &mut sums);
    }
    // What lies past the end has no chance and adds nothing.
    let (mut padded, mut chances) = ([f32::NEG_INFINITY; LANES], [0.0; LANES]);
    padded[..rest.len()].copy_from_slice(rest);
    step(&padded, max, temperature, &mut chances, &mut sums);
    out_rest.copy_from_slice(&chances[..rest.len()]);
    sums.into_iter().fold(0.0, |sum, pair| {
        sum + vgetq_lane_f64::<0>(pair) + vgetq_lane_f64::<1>(pair)
    })
}

#[inline]
#[target_feature(enable = "neon")]
fn step(
    logits: &[f32; LANES],
    max: f32,
    temperature: f32,
    out: &mut [f32; LANES],
    sums: &mut [float64x2_t; LANES / 2],
) {
    let (logits, _) = logits.as_chunks::<4>();
    let (out, _) = out.as_chunks_mut::<4>();
    for ((logits, out), sums) in logits.iter().zip(out).zip(sums.chunks_exact_mut(2)) {
        // SAFETY: an array of four values.
        let logits = unsafe { vld1q_f32(logits.as_ptr()) };
        let delta = vsubq_f32(logits, vdupq_n_f32(max));
        let chance = exp_nonpositive(vdivq_f32(delta, vdupq_n_f32(temperature)));
        // SAFETY: as above.
        unsafe { vst1q_f32(out.as_mut_ptr(), chance) };
        sums[0] = vaddq_f64(sums[0], vcvt_f64_f32(vget_low_f32(chance)));
        sums[1] = vaddq_f64(sums[1], vcvt_high_f64_f32(chance));
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn exp_nonpositive(x: float32x4_t) -> float32x4_t {
    let rounder = vdupq_n_f32(ROUNDER);
    let least = vdupq_n_f32(LEAST);
    let clamped = vbslq_f32(vcgtq_f32(x, least), x, least);
    let shifted = vaddq_f32(vmulq_f32(clamped, vdupq_n_f32(LOG2_E)), rounder);
    let n = vsubq_f32(shifted, rounder);
    let r = vsubq_f32(clamped, vmulq_f32(n, vdupq_n_f32(LN_2_HIGH)));
    let r = vsubq_f32(r, vmulq_f32(n, vdupq_n_f32(LN_2_LOW)));
    let mut sum = vdupq_n_f32(TAYLOR[0]);
    for coefficient in &TAYLOR[1..] {
        sum = vaddq_f32(vmulq_f32(sum, r), vdupq_n_f32(*coefficient));
    }
    let exponent = vsubq_s32(
        vreinterpretq_s32_f32(shifted),
        vreinterpretq_s32_f32(rounder),
    );
    let biased = vaddq_s32(exponent, vdupq_n_s32(127));
    let power_of_two = vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased));
    let product = vmulq_f32(sum, power_of_two);
    vbslq_f32(vcltq_f32(x, least), vdupq_n_f32(0.0), product)
}
