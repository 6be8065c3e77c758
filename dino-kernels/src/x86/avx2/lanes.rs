//! Eight values at a time, from and to slices of any length.

use std::arch::x86_64::*;

/// Values in a vector.
pub(crate) const LANES: usize = 8;

/// All bits of each lane that stands for one of the first `count` values.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn first(count: usize) -> __m256i {
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count.min(LANES) as i32), lanes)
}

/// The values of `x` from `at` on, zeros from its end on.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn load(x: &[f32], at: usize) -> __m256 {
    let left = x.len().saturating_sub(at);
    let start = x.as_ptr().wrapping_add(at);
    if left >= LANES {
        // SAFETY: eight values from `start` lie within `x`.
        unsafe { _mm256_loadu_ps(start) }
    } else {
        // SAFETY: the mask lets only the `left` values within `x` be read.
        unsafe { _mm256_maskload_ps(start, first(left)) }
    }
}

/// The values of `x` from `at` on, `fill` from its end on.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn load_or(x: &[f32], at: usize, fill: f32) -> __m256 {
    let mask = _mm256_castsi256_ps(first(x.len().saturating_sub(at)));
    _mm256_blendv_ps(_mm256_set1_ps(fill), load(x, at), mask)
}

/// Writes `value` to `x` from `at` on, as far as `x` goes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn store(x: &mut [f32], at: usize, value: __m256) {
    let left = x.len().saturating_sub(at);
    let start = x.as_mut_ptr().wrapping_add(at);
    if left >= LANES {
        // SAFETY: eight values from `start` lie within `x`.
        unsafe { _mm256_storeu_ps(start, value) }
    } else {
        // SAFETY: the mask lets only the `left` values within `x` be written.
        unsafe { _mm256_maskstore_ps(start, first(left), value) }
    }
}

/// The 16-bit values of `x` from `at` on, zeros from its end on.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn load_u16(x: &[u16], at: usize) -> __m128i {
    let left = x.get(at..).unwrap_or_default();
    let mut padded = [0; LANES];
    let eight = left.first_chunk().unwrap_or_else(|| {
        padded[..left.len()].copy_from_slice(left);
        &padded
    });
    // SAFETY: `eight` is a reference to sixteen bytes.
    unsafe { _mm_loadu_si128(eight.as_ptr().cast()) }
}

/// Writes the 16-bit values in `value` to `x` from `at` on, as far as `x` goes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn store_u16(x: &mut [u16], at: usize, value: __m128i) {
    let mut eight = [0; LANES];
    // SAFETY: `eight` has room for sixteen bytes.
    unsafe { _mm_storeu_si128(eight.as_mut_ptr().cast(), value) }
    let left = x.get_mut(at..).unwrap_or_default();
    let count = left.len().min(LANES);
    left[..count].copy_from_slice(&eight[..count]);
}
