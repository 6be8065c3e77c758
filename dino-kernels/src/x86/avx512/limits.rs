//! The fastest loops of 512-bit instructions, and of reading.

use crate::limits::LimitKernels;
use std::arch::x86_64::*;
use std::hint::black_box;

/// Sums that wait for none of the others: enough for two results a cycle that take five.
const SUMS: usize = 16;

pub(crate) const TABLE: LimitKernels = LimitKernels {
    read,
    f32: Some((multiply_f32, SUMS * 16 * 2)),
    bf16: Some((multiply_bf16, SUMS * 32 * 2)),
    int8: Some((multiply_int8, SUMS * 64 * 2)),
};

#[target_feature(enable = "avx512f")]
fn read(bytes: &[u8]) -> u64 {
    let mut all = [_mm512_setzero_si512(); 8];
    for lines in bytes.chunks_exact(512) {
        for (line, all) in all.iter_mut().enumerate() {
            // SAFETY: the chunk holds eight lines.
            let line = unsafe { _mm512_loadu_si512(lines.as_ptr().add(64 * line).cast()) };
            *all = _mm512_xor_si512(*all, line);
        }
    }
    let all = all
        .into_iter()
        .fold(_mm512_setzero_si512(), |a, b| _mm512_xor_si512(a, b));
    _mm512_reduce_add_epi64(all).cast_unsigned()
}

#[target_feature(enable = "avx512f")]
fn multiply_f32(rounds: usize) -> f32 {
    let x = _mm512_set1_ps(black_box(0.5));
    let mut sums = [_mm512_setzero_ps(); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(x, x, *sum);
        }
    }
    total(sums)
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn multiply_bf16(rounds: usize) -> f32 {
    let x = _mm512_cvtne2ps_pbh(_mm512_set1_ps(black_box(0.5)), _mm512_set1_ps(0.5));
    let mut sums = [_mm512_setzero_ps(); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbf16_ps(*sum, x, x);
        }
    }
    total(sums)
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn multiply_int8(rounds: usize) -> f32 {
    let x = _mm512_set1_epi32(black_box(0x0101_0101));
    let mut sums = [_mm512_setzero_si512(); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, x, x);
        }
    }
    total(sums.map(|sum| _mm512_cvtepi32_ps(sum)))
}

#[target_feature(enable = "avx512f")]
fn total(sums: [__m512; SUMS]) -> f32 {
    let total = sums
        .into_iter()
        .fold(_mm512_setzero_ps(), |a, b| _mm512_add_ps(a, b));
    _mm512_reduce_add_ps(total)
}
