//! Sixteen values at a time, from and to slices of any length.

use std::arch::x86_64::*;

/// Values in a vector.
pub(crate) const LANES: usize = 16;

/// A bit for each lane that stands for one of the first `count` values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn first(count: usize) -> __mmask16 {
    _bzhi_u32(0xffff, count.min(LANES) as u32) as __mmask16
}

/// The values of `x` from `at` on, zeros from its end on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn load(x: &[f32], at: usize) -> __m512 {
    let mask = first(x.len().saturating_sub(at));
    // SAFETY: the mask lets only values within `x` be read.
    unsafe { _mm512_maskz_loadu_ps(mask, x.as_ptr().wrapping_add(at)) }
}

/// The values of `x` from `at` on, `fill` from its end on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn load_or(x: &[f32], at: usize, fill: f32) -> __m512 {
    let mask = first(x.len().saturating_sub(at));
    // SAFETY: the mask lets only values within `x` be read.
    unsafe { _mm512_mask_loadu_ps(_mm512_set1_ps(fill), mask, x.as_ptr().wrapping_add(at)) }
}

/// Writes `value` to `x` from `at` on, as far as `x` goes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn store(x: &mut [f32], at: usize, value: __m512) {
    let mask = first(x.len().saturating_sub(at));
    // SAFETY: the mask lets only values within `x` be written.
    unsafe { _mm512_mask_storeu_ps(x.as_mut_ptr().wrapping_add(at), mask, value) }
}

/// The 16-bit values of `x` from `at` on, zeros from its end on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn load_u16(x: &[u16], at: usize) -> __m256i {
    let mask = first(x.len().saturating_sub(at));
    // SAFETY: the mask lets only values within `x` be read.
    unsafe { _mm256_maskz_loadu_epi16(mask, x.as_ptr().wrapping_add(at).cast()) }
}

/// Writes the 16-bit values in `value` to `x` from `at` on, as far as `x` goes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn store_u16(x: &mut [u16], at: usize, value: __m256i) {
    let mask = first(x.len().saturating_sub(at));
    // SAFETY: the mask lets only values within `x` be written.
    unsafe { _mm256_mask_storeu_epi16(x.as_mut_ptr().wrapping_add(at).cast(), mask, value) }
}
