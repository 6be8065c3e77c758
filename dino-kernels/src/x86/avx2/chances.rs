//! Chances of tokens, eight at a time; see [`crate::scalar::chances`] for why nothing is fused here.

use crate::scalar::chances::{LANES, LEAST, LN_2_HIGH, LN_2_LOW, ROUNDER, TAYLOR};
use std::arch::x86_64::*;
use std::f32::consts::LOG2_E;

/// See [`crate::scalar::chances::chances`].
#[target_feature(enable = "avx2,fma")]
pub(crate) fn chances(logits: &[f32], max: f32, temperature: f32, out: &mut [f32]) -> f64 {
    let mut sums = [_mm256_setzero_pd(); 4];
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
    let mut lanes = [0.0; LANES];
    for (part, sum) in lanes.chunks_exact_mut(4).zip(sums) {
        // SAFETY: the slice holds a register.
        unsafe { _mm256_storeu_pd(part.as_mut_ptr(), sum) };
    }
    lanes.iter().fold(0.0, |sum, lane| sum + lane)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn step(
    logits: &[f32; LANES],
    max: f32,
    temperature: f32,
    out: &mut [f32; LANES],
    sums: &mut [__m256d; 4],
) {
    let halves = logits.chunks_exact(8).zip(out.chunks_exact_mut(8));
    for ((logits, out), sums) in halves.zip(sums.chunks_exact_mut(2)) {
        // SAFETY: the slice holds a register.
        let logits = unsafe { _mm256_loadu_ps(logits.as_ptr()) };
        let delta = _mm256_sub_ps(logits, _mm256_set1_ps(max));
        let chance = exp_nonpositive(_mm256_div_ps(delta, _mm256_set1_ps(temperature)));
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), chance) };
        let quarters = [
            _mm256_castps256_ps128(chance),
            _mm256_extractf128_ps::<1>(chance),
        ];
        for (sum, quarter) in sums.iter_mut().zip(quarters) {
            *sum = _mm256_add_pd(*sum, _mm256_cvtps_pd(quarter));
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn exp_nonpositive(x: __m256) -> __m256 {
    let rounder = _mm256_set1_ps(ROUNDER);
    let clamped = _mm256_max_ps(x, _mm256_set1_ps(LEAST));
    let shifted = _mm256_add_ps(_mm256_mul_ps(clamped, _mm256_set1_ps(LOG2_E)), rounder);
    let n = _mm256_sub_ps(shifted, rounder);
    let r = _mm256_sub_ps(clamped, _mm256_mul_ps(n, _mm256_set1_ps(LN_2_HIGH)));
    let r = _mm256_sub_ps(r, _mm256_mul_ps(n, _mm256_set1_ps(LN_2_LOW)));
    let mut sum = _mm256_set1_ps(TAYLOR[0]);
    for coefficient in &TAYLOR[1..] {
        sum = _mm256_add_ps(_mm256_mul_ps(sum, r), _mm256_set1_ps(*coefficient));
    }
    let exponent = _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_castps_si256(rounder));
    let biased = _mm256_add_epi32(exponent, _mm256_set1_epi32(127));
    let power_of_two = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased));
    let kept = _mm256_cmp_ps::<_CMP_NLT_UQ>(x, _mm256_set1_ps(LEAST));
    _mm256_and_ps(kept, _mm256_mul_ps(sum, power_of_two))
}
