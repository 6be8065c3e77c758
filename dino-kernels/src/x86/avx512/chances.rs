//! Chances of tokens, sixteen at a time; see [`crate::scalar::chances`] for why nothing is fused here.

use super::lanes::{LANES, load_or, store};
use crate::scalar::chances::{LEAST, LN_2_HIGH, LN_2_LOW, ROUNDER, TAYLOR};
use std::arch::x86_64::*;
use std::f32::consts::LOG2_E;

/// See [`crate::scalar::chances::chances`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn chances(logits: &[f32], max: f32, temperature: f32, out: &mut [f32]) -> f64 {
    let mut sums = [_mm512_setzero_pd(); 2];
    for at in (0..logits.len()).step_by(LANES) {
        let delta = _mm512_sub_ps(load_or(logits, at, f32::NEG_INFINITY), _mm512_set1_ps(max));
        let chance = exp_nonpositive(_mm512_div_ps(delta, _mm512_set1_ps(temperature)));
        store(out, at, chance);
        let halves = [
            _mm512_castps512_ps256(chance),
            _mm512_extractf32x8_ps::<1>(chance),
        ];
        for (sum, half) in sums.iter_mut().zip(halves) {
            *sum = _mm512_add_pd(*sum, _mm512_cvtps_pd(half));
        }
    }
    let mut lanes = [0.0; LANES];
    for (half, sum) in lanes.chunks_exact_mut(8).zip(sums) {
        // SAFETY: the slice holds a register.
        unsafe { _mm512_storeu_pd(half.as_mut_ptr(), sum) };
    }
    lanes.iter().fold(0.0, |sum, lane| sum + lane)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn exp_nonpositive(x: __m512) -> __m512 {
    let rounder = _mm512_set1_ps(ROUNDER);
    let clamped = _mm512_max_ps(x, _mm512_set1_ps(LEAST));
    let shifted = _mm512_add_ps(_mm512_mul_ps(clamped, _mm512_set1_ps(LOG2_E)), rounder);
    let n = _mm512_sub_ps(shifted, rounder);
    let r = _mm512_sub_ps(clamped, _mm512_mul_ps(n, _mm512_set1_ps(LN_2_HIGH)));
    let r = _mm512_sub_ps(r, _mm512_mul_ps(n, _mm512_set1_ps(LN_2_LOW)));
    let mut sum = _mm512_set1_ps(TAYLOR[0]);
    for coefficient in &TAYLOR[1..] {
        sum = _mm512_add_ps(_mm512_mul_ps(sum, r), _mm512_set1_ps(*coefficient));
    }
    let exponent = _mm512_sub_epi32(_mm512_castps_si512(shifted), _mm512_castps_si512(rounder));
    let biased = _mm512_add_epi32(exponent, _mm512_set1_epi32(127));
    let power_of_two = _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased));
    let kept = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, _mm512_set1_ps(LEAST));
    _mm512_maskz_mul_ps(kept, sum, power_of_two)
}
