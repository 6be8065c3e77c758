//! Functions of four values.

use crate::Activation;
use crate::scalar::math::{ERFC, ERFC_P, EXP, GELU, GELU_CUBE, LN_2, TANH};
use std::arch::aarch64::*;
use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// `e^x` to 2 units in the last place, from 0 to ∞; NaN stays NaN.
///
/// With `n = round(x / ln 2)`, it is `2^n · e^(x − n·ln 2)`, the second factor from a polynomial.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn exp(x: float32x4_t) -> float32x4_t {
    // Beyond these the result is 0 or ∞ anyway. NaN passes.
    let x = vminq_f32(vmaxq_f32(x, vdupq_n_f32(-105.0)), vdupq_n_f32(90.0));
    let n = vrndnq_f32(vmulq_f32(x, vdupq_n_f32(LOG2_E)));
    let r = vfmsq_f32(x, n, vdupq_n_f32(LN_2[0]));
    let r = vfmsq_f32(r, n, vdupq_n_f32(LN_2[1]));
    let tail = vmulq_f32(vmulq_f32(r, r), polynomial(r, &EXP));
    let e_r = vaddq_f32(vdupq_n_f32(1.0), vaddq_f32(r, tail));
    // 2^n in two factors, each a normal number, so that subnormal results and ∞ come out right.
    let n = vcvtq_s32_f32(n);
    let half = vshrq_n_s32::<1>(n);
    let rest = vsubq_s32(n, half);
    vmulq_f32(vmulq_f32(e_r, power_of_two(half)), power_of_two(rest))
}

/// `2^n` for `|n| ≤ 126`.
#[inline]
#[target_feature(enable = "neon")]
fn power_of_two(n: int32x4_t) -> float32x4_t {
    vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(n, vdupq_n_s32(127))))
}

/// `a₀ + a₁x + … + a₄x⁴`.
#[inline]
#[target_feature(enable = "neon")]
fn polynomial(x: float32x4_t, a: &[f32; 5]) -> float32x4_t {
    let step = |sum, a| vfmaq_f32(vdupq_n_f32(a), sum, x);
    step(step(step(step(vdupq_n_f32(a[4]), a[3]), a[2]), a[1]), a[0])
}

/// `tanh x` to 3 units in the last place.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn tanh(x: float32x4_t) -> float32x4_t {
    let magnitude = vabsq_f32(x);
    let square = vmulq_f32(x, x);
    let small = vfmaq_f32(x, vmulq_f32(square, x), polynomial(square, &TANH));
    // 1 − 2 / (e^2|x| + 1), which would cancel where |x| is small.
    let one = vdupq_n_f32(1.0);
    let e = vaddq_f32(exp(vaddq_f32(magnitude, magnitude)), one);
    let large = vsubq_f32(one, vdivq_f32(vdupq_n_f32(2.0), e));
    let signed = vbslq_f32(vdupq_n_u32(1 << 31), x, large);
    vbslq_f32(vcltq_f32(magnitude, vdupq_n_f32(0.625)), small, signed)
}

/// `1 / (1 + e^−x)`.
#[inline]
#[target_feature(enable = "neon")]
fn sigmoid(x: float32x4_t) -> float32x4_t {
    let one = vdupq_n_f32(1.0);
    vdivq_f32(one, vaddq_f32(one, exp(vnegq_f32(x))))
}

/// Φ, the probability that a standard normal variable is below `x`, to 2e-7.
#[inline]
#[target_feature(enable = "neon")]
fn normal(x: float32x4_t) -> float32x4_t {
    let one = vdupq_n_f32(1.0);
    let y = vmulq_f32(vabsq_f32(x), vdupq_n_f32(FRAC_1_SQRT_2));
    let t = vdivq_f32(one, vfmaq_f32(one, vdupq_n_f32(ERFC_P), y));
    let e = exp(vnegq_f32(vmulq_f32(y, y)));
    let half_t = vmulq_f32(vdupq_n_f32(0.5), t);
    let upper = vmulq_f32(vmulq_f32(half_t, polynomial(t, &ERFC)), e);
    vbslq_f32(vcltzq_f32(x), upper, vsubq_f32(one, upper))
}

/// `activation(x)`.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn activation(x: float32x4_t, activation: Activation) -> float32x4_t {
    match activation {
        Activation::Silu => vmulq_f32(x, sigmoid(x)),
        Activation::GeluTanh => {
            let cube = vmulq_f32(vmulq_f32(x, x), x);
            let inner = vfmaq_f32(x, vdupq_n_f32(GELU_CUBE), cube);
            vmulq_f32(x, sigmoid(vmulq_f32(vdupq_n_f32(GELU), inner)))
        }
        Activation::GeluErf => vmulq_f32(x, normal(x)),
        Activation::Relu => relu(x),
        Activation::ReluSquared => vmulq_f32(relu(x), relu(x)),
    }
}

/// `max(x, 0)`; 0 for NaN.
#[inline]
#[target_feature(enable = "neon")]
fn relu(x: float32x4_t) -> float32x4_t {
    vmaxnmq_f32(x, vdupq_n_f32(0.0))
}
