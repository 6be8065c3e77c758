//! Functions of sixteen values.

use crate::Activation;
use crate::scalar::math::{ERFC, ERFC_P, EXP, GELU, GELU_CUBE, LN_2, TANH};
use std::arch::x86_64::*;
use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// `e^x` to 2 units in the last place, from 0 to ∞; NaN stays NaN.
///
/// With `n = round(x / ln 2)`, it is `2^n · e^(x − n·ln 2)`, the second factor from a polynomial.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn exp(x: __m512) -> __m512 {
    // Beyond these the result is 0 or ∞ anyway. In this order of arguments NaN passes.
    let x = _mm512_min_ps(_mm512_set1_ps(90.0), x);
    let x = _mm512_max_ps(_mm512_set1_ps(-105.0), x);
    const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    let n = _mm512_roundscale_ps::<NEAREST>(_mm512_mul_ps(x, _mm512_set1_ps(LOG2_E)));
    let r = _mm512_fnmadd_ps(n, _mm512_set1_ps(LN_2[0]), x);
    let r = _mm512_fnmadd_ps(n, _mm512_set1_ps(LN_2[1]), r);
    let tail = _mm512_mul_ps(_mm512_mul_ps(r, r), polynomial(r, &EXP));
    let e_r = _mm512_add_ps(_mm512_set1_ps(1.0), _mm512_add_ps(r, tail));
    _mm512_scalef_ps(e_r, n)
}

/// `a₀ + a₁x + … + a₄x⁴`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn polynomial(x: __m512, a: &[f32; 5]) -> __m512 {
    let step = |sum, a| _mm512_fmadd_ps(sum, x, _mm512_set1_ps(a));
    step(
        step(step(step(_mm512_set1_ps(a[4]), a[3]), a[2]), a[1]),
        a[0],
    )
}

/// `tanh x` to 3 units in the last place.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn tanh(x: __m512) -> __m512 {
    let sign = _mm512_and_ps(x, _mm512_set1_ps(-0.0));
    let magnitude = _mm512_andnot_ps(_mm512_set1_ps(-0.0), x);
    let square = _mm512_mul_ps(x, x);
    let small = _mm512_fmadd_ps(_mm512_mul_ps(square, x), polynomial(square, &TANH), x);
    // 1 − 2 / (e^2|x| + 1), which would cancel where |x| is small.
    let one = _mm512_set1_ps(1.0);
    let e = _mm512_add_ps(exp(_mm512_add_ps(magnitude, magnitude)), one);
    let large = _mm512_sub_ps(one, _mm512_div_ps(_mm512_set1_ps(2.0), e));
    let is_small = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(magnitude, _mm512_set1_ps(0.625));
    _mm512_mask_blend_ps(is_small, _mm512_or_ps(large, sign), small)
}

/// `1 / (1 + e^−x)`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn sigmoid(x: __m512) -> __m512 {
    let one = _mm512_set1_ps(1.0);
    let e = exp(_mm512_xor_ps(x, _mm512_set1_ps(-0.0)));
    _mm512_div_ps(one, _mm512_add_ps(one, e))
}

/// Φ, the probability that a standard normal variable is below `x`, to 2e-7.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn normal(x: __m512) -> __m512 {
    let one = _mm512_set1_ps(1.0);
    let magnitude = _mm512_andnot_ps(_mm512_set1_ps(-0.0), x);
    let y = _mm512_mul_ps(magnitude, _mm512_set1_ps(FRAC_1_SQRT_2));
    let t = _mm512_div_ps(one, _mm512_fmadd_ps(_mm512_set1_ps(ERFC_P), y, one));
    let e = exp(_mm512_fnmadd_ps(y, y, _mm512_setzero_ps()));
    let half_t = _mm512_mul_ps(_mm512_set1_ps(0.5), t);
    let upper = _mm512_mul_ps(_mm512_mul_ps(half_t, polynomial(t, &ERFC)), e);
    let is_negative = _mm512_movepi32_mask(_mm512_castps_si512(x));
    _mm512_mask_blend_ps(is_negative, _mm512_sub_ps(one, upper), upper)
}

/// `activation(x)`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn activation(x: __m512, activation: Activation) -> __m512 {
    match activation {
        Activation::Silu => _mm512_mul_ps(x, sigmoid(x)),
        Activation::GeluTanh => {
            let cube = _mm512_mul_ps(_mm512_mul_ps(x, x), x);
            let inner = _mm512_fmadd_ps(_mm512_set1_ps(GELU_CUBE), cube, x);
            _mm512_mul_ps(x, sigmoid(_mm512_mul_ps(_mm512_set1_ps(GELU), inner)))
        }
        Activation::GeluErf => _mm512_mul_ps(x, normal(x)),
        Activation::Relu => relu(x),
        Activation::ReluSquared => _mm512_mul_ps(relu(x), relu(x)),
    }
}

/// `max(x, 0)`; 0 for NaN.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn relu(x: __m512) -> __m512 {
    _mm512_max_ps(x, _mm512_setzero_ps())
}
