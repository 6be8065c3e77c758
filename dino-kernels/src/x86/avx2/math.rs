//! Functions of eight values.

use crate::Activation;
use crate::scalar::math::{ERFC, ERFC_P, EXP, GELU, GELU_CUBE, LN_2, TANH};
use std::arch::x86_64::*;
use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// `e^x` to 2 units in the last place, from 0 to ∞; NaN stays NaN.
///
/// With `n = round(x / ln 2)`, it is `2^n · e^(x − n·ln 2)`, the second factor from a polynomial.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) fn exp(x: __m256) -> __m256 {
    // Beyond these the result is 0 or ∞ anyway. In this order of arguments NaN passes.
    let x = _mm256_min_ps(_mm256_set1_ps(90.0), x);
    let x = _mm256_max_ps(_mm256_set1_ps(-105.0), x);
    const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    let n = _mm256_round_ps::<NEAREST>(_mm256_mul_ps(x, _mm256_set1_ps(LOG2_E)));
    let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LN_2[0]), x);
    let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LN_2[1]), r);
    let tail = _mm256_mul_ps(_mm256_mul_ps(r, r), polynomial(r, &EXP));
    let e_r = _mm256_add_ps(_mm256_set1_ps(1.0), _mm256_add_ps(r, tail));
    // 2^n in two factors, each a normal number, so that subnormal results and ∞ come out right.
    let n = _mm256_cvtps_epi32(n);
    let half = _mm256_srai_epi32::<1>(n);
    let rest = _mm256_sub_epi32(n, half);
    _mm256_mul_ps(_mm256_mul_ps(e_r, power_of_two(half)), power_of_two(rest))
}

/// `2^n` for `|n| ≤ 126`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn power_of_two(n: __m256i) -> __m256 {
    let biased = _mm256_add_epi32(n, _mm256_set1_epi32(127));
    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
}

/// `a₀ + a₁x + … + a₄x⁴`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn polynomial(x: __m256, a: &[f32; 5]) -> __m256 {
    let step = |sum, a| _mm256_fmadd_ps(sum, x, _mm256_set1_ps(a));
    step(
        step(step(step(_mm256_set1_ps(a[4]), a[3]), a[2]), a[1]),
        a[0],
    )
}

/// `tanh x` to 3 units in the last place.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) fn tanh(x: __m256) -> __m256 {
    let sign = _mm256_and_ps(x, _mm256_set1_ps(-0.0));
    let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), x);
    let square = _mm256_mul_ps(x, x);
    let small = _mm256_fmadd_ps(_mm256_mul_ps(square, x), polynomial(square, &TANH), x);
    // 1 − 2 / (e^2|x| + 1), which would cancel where |x| is small.
    let one = _mm256_set1_ps(1.0);
    let e = _mm256_add_ps(exp(_mm256_add_ps(magnitude, magnitude)), one);
    let large = _mm256_sub_ps(one, _mm256_div_ps(_mm256_set1_ps(2.0), e));
    let is_small = _mm256_cmp_ps::<_CMP_LT_OQ>(magnitude, _mm256_set1_ps(0.625));
    _mm256_blendv_ps(_mm256_or_ps(large, sign), small, is_small)
}

/// `1 / (1 + e^−x)`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn sigmoid(x: __m256) -> __m256 {
    let one = _mm256_set1_ps(1.0);
    let e = exp(_mm256_xor_ps(x, _mm256_set1_ps(-0.0)));
    _mm256_div_ps(one, _mm256_add_ps(one, e))
}

/// Φ, the probability that a standard normal variable is below `x`, to 2e-7.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn normal(x: __m256) -> __m256 {
    let one = _mm256_set1_ps(1.0);
    let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), x);
    let y = _mm256_mul_ps(magnitude, _mm256_set1_ps(FRAC_1_SQRT_2));
    let t = _mm256_div_ps(one, _mm256_fmadd_ps(_mm256_set1_ps(ERFC_P), y, one));
    let e = exp(_mm256_fnmadd_ps(y, y, _mm256_setzero_ps()));
    let half_t = _mm256_mul_ps(_mm256_set1_ps(0.5), t);
    let upper = _mm256_mul_ps(_mm256_mul_ps(half_t, polynomial(t, &ERFC)), e);
    // The sign bit of `x` chooses.
    _mm256_blendv_ps(_mm256_sub_ps(one, upper), upper, x)
}

/// `activation(x)`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) fn activation(x: __m256, activation: Activation) -> __m256 {
    match activation {
        Activation::Silu => _mm256_mul_ps(x, sigmoid(x)),
        Activation::GeluTanh => {
            let cube = _mm256_mul_ps(_mm256_mul_ps(x, x), x);
            let inner = _mm256_fmadd_ps(_mm256_set1_ps(GELU_CUBE), cube, x);
            _mm256_mul_ps(x, sigmoid(_mm256_mul_ps(_mm256_set1_ps(GELU), inner)))
        }
        Activation::GeluErf => _mm256_mul_ps(x, normal(x)),
        Activation::Relu => relu(x),
        Activation::ReluSquared => _mm256_mul_ps(relu(x), relu(x)),
    }
}

/// `max(x, 0)`; 0 for NaN.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn relu(x: __m256) -> __m256 {
    _mm256_max_ps(x, _mm256_setzero_ps())
}

/// The largest of eight values.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn max_lanes(x: __m256) -> f32 {
    let x = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)))
}

/// The sum of eight values.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn sum_lanes(x: __m256) -> f32 {
    let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
}

/// The sum of eight integers.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn sum_integers(x: __m256i) -> i32 {
    let x = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
    let x = _mm_add_epi32(x, _mm_shuffle_epi32::<0b_00_00_11_10>(x));
    _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32::<0b_00_00_00_01>(x)))
}
