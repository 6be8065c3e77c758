//! Int8 layers on 256-bit registers.
//!
//! `vpmaddubsw` takes one unsigned operand and adds pairs in 16 bits, which saturate. So the unsigned one is the weight's
//! magnitude, the input takes its sign, and two products of at most 127 · 127 always fit. Codes of inputs are made signed
//! where they are broadcast. Two groups share each broadcast word.

use super::linear::LANES;
use crate::int8::Int8Input;
use crate::packed::Int8Group;
use crate::scalar::int8::quantize_row_inline;
use crate::table::{Int8Factor, Int8Kernels, Int8Task};
use crate::x86::ahead::ask_for;
use std::arch::x86_64::*;
use std::array::from_fn;

pub(crate) const TABLE: Int8Kernels = Int8Kernels {
    quantize_row,
    multiply,
};

/// What the codes of inputs, made signed, no longer are above their meaning.
const RAISED: i32 = 128;

#[target_feature(enable = "avx2,fma,f16c")]
fn quantize_row(source: &[f32], input: &Int8Input, codes: &mut [u8]) -> Int8Factor {
    quantize_row_inline(source, input, codes)
}

/// See [`crate::scalar::int8::multiply`], whose bits it gives.
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply(task: &Int8Task<'_>) {
    let mut index = task.groups.start;
    while index < task.groups.end {
        index += match task.groups.end - index {
            1 => groups::<1>(task, index),
            _ if task.input.tokens() == 1 => groups::<1>(task, index),
            _ => groups::<2>(task, index),
        };
    }
}

/// `G` groups from `index` on times all tokens; returns `G`.
#[target_feature(enable = "avx2,fma,f16c")]
fn groups<const G: usize>(task: &Int8Task<'_>, index: usize) -> usize {
    let (mut token, tokens) = (0, task.input.tokens());
    while token < tokens {
        token += match tokens - token {
            1 => tile::<G, 1>(task, index, token),
            2 | 3 => tile::<G, 2>(task, index, token),
            _ => tile::<G, 4>(task, index, token),
        };
    }
    G
}

/// `G` groups times `T` tokens; returns `T`.
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<const G: usize, const T: usize>(task: &Int8Task<'_>, index: usize, token: usize) -> usize {
    let groups: [Int8Group<'_>; G] = from_fn(|g| task.weight.int8_group(index + g));
    let rows: [&[u8]; T] = from_fn(|t| task.input.codes(token + t));
    let mut sums = [[_mm256_setzero_si256(); T]; G];
    for word in 0..task.weight.columns() / 4 {
        // SAFETY: AVX2 is enabled; views of groups and rows hold `columns`, so this word.
        unsafe {
            let x: [__m256i; T] = from_fn(|t| {
                let x = rows[t].as_ptr().add(4 * word).cast::<u32>();
                _mm256_set1_epi32((x.read_unaligned() ^ 0x8080_8080) as i32)
            });
            for (sums, group) in sums.iter_mut().zip(&groups) {
                let words = group.words.as_ptr().add(4 * LANES * word);
                if token == 0 {
                    ask_for(words, 4 * LANES);
                }
                let code = _mm256_loadu_si256(words.cast());
                let magnitude = _mm256_abs_epi8(code);
                for (sum, x) in sums.iter_mut().zip(&x) {
                    let pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(*x, code));
                    let products = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
                    *sum = _mm256_add_epi32(*sum, products);
                }
            }
        }
    }
    store(task, index, token, sums);
    T
}

/// Scales the sums of `G` groups from `index` on and `T` tokens from `token` on, and puts them out.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn store<const G: usize, const T: usize>(
    task: &Int8Task<'_>,
    index: usize,
    token: usize,
    sums: [[__m256i; T]; G],
) {
    for (g, sums) in sums.into_iter().enumerate() {
        let heads = task.weight.int8_group(index + g).heads;
        let heads = heads[..8 * LANES].as_ptr();
        // SAFETY: scales and sums of 8 rows.
        let (scales, totals) = unsafe {
            (
                _mm256_loadu_ps(heads.cast()),
                _mm256_loadu_si256(heads.add(4 * LANES).cast()),
            )
        };
        for (t, sum) in sums.into_iter().enumerate() {
            let factor = task.input.factor(token + t);
            let zeros = _mm256_mullo_epi32(totals, _mm256_set1_epi32(factor.zero - RAISED));
            let sum = _mm256_cvtepi32_ps(_mm256_sub_epi32(sum, zeros));
            let sum = _mm256_mul_ps(_mm256_mul_ps(sum, scales), _mm256_set1_ps(factor.scale));
            let mut values = [0.0; LANES];
            // SAFETY: the array holds a register.
            unsafe { _mm256_storeu_ps(values.as_mut_ptr(), sum) };
            // SAFETY: tasks that run at once differ in groups, so in columns.
            unsafe { task.output.put(token + t, (index + g) * LANES, &values) };
        }
    }
}
