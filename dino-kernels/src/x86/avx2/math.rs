//! Functions of whole registers.

use std::arch::x86_64::*;

/// `exp(x)` of eight values, at most 2 units in the last place off; 0 below -87.3, infinity above 88.7.
///
/// `exp(x) = 2^n exp(r)` with `|r| ≤ ln 2 / 2`, the rest by a polynomial (Cephes, `expf`).
#[target_feature(enable = "avx2,fma")]
#[inline]
pub(super) fn exp(x: __m256) -> __m256 {
    let set = |x: f32| _mm256_set1_ps(x);
    let x = _mm256_min_ps(x, set(89.0));
    let tiny = _mm256_cmp_ps::<_CMP_LT_OQ>(x, set(-87.3));
    let n = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(_mm256_mul_ps(
        x,
        set(std::f32::consts::LOG2_E),
    ));
    // ln 2 in two parts, so that the product with n is exact in the first.
    let r = _mm256_fnmadd_ps(n, set(0.693_359_4), x);
    let r = _mm256_fnmadd_ps(n, set(-2.121_944_4e-4), r);
    let mut sum = set(1.987_569_1e-4);
    for coefficient in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ] {
        sum = _mm256_fmadd_ps(sum, r, set(coefficient));
    }
    let sum = _mm256_fmadd_ps(_mm256_mul_ps(r, r), sum, _mm256_add_ps(r, set(1.0)));
    // 2^n in two factors: n reaches 128, where one exponent would overflow.
    let n = _mm256_cvtps_epi32(n);
    let half = _mm256_srai_epi32::<1>(n);
    let power = |n: __m256i| {
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(
            n,
            _mm256_set1_epi32(127),
        )))
    };
    let scaled = _mm256_mul_ps(sum, power(half));
    let scaled = _mm256_mul_ps(scaled, power(_mm256_sub_epi32(n, half)));
    _mm256_andnot_ps(tiny, scaled)
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
