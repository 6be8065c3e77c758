//! Int8 layers on 512-bit registers with VNNI.
//!
//! 1. Weights lie as `vpdpbusd` takes them: nothing is unpacked, and the sums of 16 rows stay in a register over all columns.
//! 2. Many tokens: four groups of rows by six tokens are 24 sums, which need 10 loads for 24 products; the processor's ports
//!    for products are the limit.
//! 3. Few tokens: one group, read as one stream with what comes next asked for, and several sums of each row, so that no
//!    product waits for the last. Sums of integers may be split at will.

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

/// Groups that are multiplied side by side.
const GROUPS: usize = 4;
/// Rows of input from which groups are multiplied side by side.
const MANY: usize = 4;

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn quantize_row(source: &[f32], input: &Int8Input, codes: &mut [u8]) -> Int8Factor {
    quantize_row_inline(source, input, codes)
}

/// See [`crate::scalar::int8::multiply`], whose bits it gives.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn multiply(task: &Int8Task<'_>) {
    let mut index = task.groups.start;
    while index < task.groups.end {
        index += match task.groups.end - index {
            _ if task.input.tokens() < MANY => few(task, index),
            1 => many::<1>(task, index),
            2 | 3 => many::<2>(task, index),
            _ => many::<GROUPS>(task, index),
        };
    }
}

/// One group times up to three tokens; returns 1.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn few(task: &Int8Task<'_>, index: usize) -> usize {
    let group = task.weight.int8_group(index);
    match task.input.tokens() {
        1 => store(task, index, 0, [one_group::<1, 4>(task, group)]),
        2 => store(task, index, 0, [one_group::<2, 2>(task, group)]),
        _ => store(task, index, 0, [one_group::<3, 2>(task, group)]),
    }
    1
}

/// The sums of one group and the first `T` tokens, with `U` sums for every `U` words.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn one_group<const T: usize, const U: usize>(
    task: &Int8Task<'_>,
    group: Int8Group<'_>,
) -> [__m512i; T] {
    let rows: [&[u8]; T] = from_fn(|t| task.input.codes(t));
    let count = group.words.len() / (4 * LANES);
    let mut sums = [[_mm512_setzero_si512(); T]; U];
    // Columns are whole runs of 32, so words of 8.
    for word in (0..count).step_by(U) {
        let words = group.words[4 * LANES * word..].as_ptr();
        ask_for(words, 4 * LANES * U);
        for (u, sums) in sums.iter_mut().enumerate() {
            // SAFETY: AVX-512 with VNNI is enabled; there are `count` words, of weight and rows, and `word + u` is one.
            unsafe { add_products(sums, words.add(4 * LANES * u), &rows, word + u) };
        }
    }
    let [first, rest @ ..] = &sums[..] else {
        return [_mm512_setzero_si512(); T];
    };
    from_fn(|t| {
        rest.iter()
            .fold(first[t], |sum, more| _mm512_add_epi32(sum, more[t]))
    })
}

/// `G` groups from `index` on times all tokens; returns `G`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn many<const G: usize>(task: &Int8Task<'_>, index: usize) -> usize {
    let (mut token, tokens) = (0, task.input.tokens());
    while token < tokens {
        token += match tokens - token {
            1 => tile::<G, 1>(task, index, token),
            2 | 3 => tile::<G, 2>(task, index, token),
            4 | 5 => tile::<G, 4>(task, index, token),
            _ => tile::<G, 6>(task, index, token),
        };
    }
    G
}

/// `G` groups times `T` tokens; returns `T`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn tile<const G: usize, const T: usize>(task: &Int8Task<'_>, index: usize, token: usize) -> usize {
    let groups: [Int8Group<'_>; G] = from_fn(|g| task.weight.int8_group(index + g));
    let rows: [&[u8]; T] = from_fn(|t| task.input.codes(token + t));
    let mut sums = [[_mm512_setzero_si512(); T]; G];
    let count = task.weight.columns() / 4;
    for word in 0..count {
        for (sums, group) in sums.iter_mut().zip(&groups) {
            // SAFETY: AVX-512 with VNNI is enabled; views of groups and rows hold `columns`, so `count` words.
            unsafe {
                let words = group.words.as_ptr().add(4 * LANES * word);
                add_products(sums, words, &rows, word);
            }
        }
    }
    store(task, index, token, sums);
    T
}

/// Adds the products of a word of 16 rows with word `word` of `T` tokens.
///
/// # Safety
/// AVX-512 with VNNI is enabled; at `words` lie 64 bytes, and each row has that word.
#[inline(always)]
unsafe fn add_products<const T: usize>(
    sums: &mut [__m512i; T],
    words: *const u8,
    rows: &[&[u8]; T],
    word: usize,
) {
    // SAFETY: by the contract.
    unsafe {
        let weights = _mm512_loadu_si512(words.cast());
        for (sum, row) in sums.iter_mut().zip(rows) {
            let x = row.as_ptr().add(4 * word).cast::<i32>().read_unaligned();
            *sum = _mm512_dpbusd_epi32(*sum, _mm512_set1_epi32(x), weights);
        }
    }
}

/// Scales the sums of `G` groups from `index` on and `T` tokens from `token` on, and puts them out.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
#[inline]
pub(crate) fn store<const G: usize, const T: usize>(
    task: &Int8Task<'_>,
    index: usize,
    token: usize,
    sums: [[__m512i; T]; G],
) {
    for (g, sums) in sums.into_iter().enumerate() {
        let heads = task.weight.int8_group(index + g).heads;
        let heads = heads[..8 * LANES].as_ptr();
        // SAFETY: scales and sums of 16 rows.
        let (scales, totals) = unsafe {
            (
                _mm512_loadu_ps(heads.cast()),
                _mm512_loadu_si512(heads.add(4 * LANES).cast()),
            )
        };
        for (t, sum) in sums.into_iter().enumerate() {
            let factor = task.input.factor(token + t);
            let zeros = _mm512_mullo_epi32(totals, _mm512_set1_epi32(factor.zero));
            let sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, zeros));
            let sum = _mm512_mul_ps(_mm512_mul_ps(sum, scales), _mm512_set1_ps(factor.scale));
            let mut values = [0.0; LANES];
            // SAFETY: the array holds a register.
            unsafe { _mm512_storeu_ps(values.as_mut_ptr(), sum) };
            // SAFETY: tasks that run at once differ in groups, so in columns.
            unsafe { task.output.put(token + t, (index + g) * LANES, &values) };
        }
    }
}
