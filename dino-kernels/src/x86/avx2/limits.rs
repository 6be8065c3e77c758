//! The fastest loops of 256-bit instructions, and of reading.

use crate::limits::LimitKernels;
use std::arch::x86_64::*;
use std::hint::black_box;

/// Sums that wait for none of the others: enough for two results a cycle that take five.
const SUMS: usize = 10;

pub(crate) const TABLE: LimitKernels = LimitKernels {
    read,
    f32: Some((multiply_f32, SUMS * 8 * 2)),
    bf16: None,
    int8: Some((multiply_int8, SUMS * 32 * 2)),
};

#[target_feature(enable = "avx2")]
fn read(bytes: &[u8]) -> u64 {
    let mut all = [_mm256_setzero_si256(); 8];
    for lines in bytes.chunks_exact(256) {
        for (half, all) in all.iter_mut().enumerate() {
            // SAFETY: the chunk holds eight halves of lines.
            let half = unsafe { _mm256_loadu_si256(lines.as_ptr().add(32 * half).cast()) };
            *all = _mm256_xor_si256(*all, half);
        }
    }
    let all = all
        .into_iter()
        .fold(_mm256_setzero_si256(), |a, b| _mm256_xor_si256(a, b));
    _mm256_extract_epi64::<0>(all).cast_unsigned() ^ _mm256_extract_epi64::<1>(all).cast_unsigned()
}

#[target_feature(enable = "avx2,fma")]
fn multiply_f32(rounds: usize) -> f32 {
    let x = _mm256_set1_ps(black_box(0.5));
    let mut sums = [_mm256_setzero_ps(); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(x, x, *sum);
        }
    }
    sums.into_iter()
        .fold(0.0, |total, sum| total + _mm256_cvtss_f32(sum))
}

/// Products of pairs, summed in 16 bits: what a kernel does for each word, widening left out.
#[target_feature(enable = "avx2")]
fn multiply_int8(rounds: usize) -> f32 {
    let mut x = _mm256_set1_epi32(black_box(0x0101_0101));
    let mut sums = [_mm256_setzero_si256(); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(x, *sum));
        }
        x = _mm256_xor_si256(x, sums[0]);
    }
    let total = sums.into_iter().fold(x, |a, b| _mm256_add_epi16(a, b));
    _mm256_extract_epi32::<0>(total) as f32
}
