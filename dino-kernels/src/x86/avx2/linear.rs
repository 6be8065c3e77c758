//! Linear layers on 256-bit registers.
//!
//! 1. A register holds one word of 8 rows; a broadcast word of the input meets it in `vpmaddubsw`, so 32
//!    products take one instruction and no sum ever crosses lanes.
//! 2. `vpmaddubsw` adds pairs in 16 bits. Small codes leave room there: up to 5 bits, all 16 products that
//!    share a scale are summed in 16 bits before they are widened once ([`run_length`]).
//! 3. Codes are unpacked once for up to four tokens; a group of a usual layer stays in the first-level cache
//!    while all tokens pass over it.

use super::math::{max_lanes, sum_integers};
use crate::Tuning;
use crate::packed::{Codes, FloatGroup, QuantizedGroup, with_format};
use crate::quantized::{InputBlock, QuantizedRows};
use crate::table::{FloatTask, LinearKernels, QuantizedTask};
use crate::x86::ahead::{ask_ahead, ask_for};
use half::{bf16, f16};
use std::arch::x86_64::*;

pub(super) const LANES: usize = 8;

pub(crate) const TABLE: LinearKernels = LinearKernels {
    lanes: LANES,
    tuning: Tuning::PLAIN,
    quantize_row,
    quantized,
    float,
};

/// See [`crate::scalar::linear::quantize_row`], whose codes it gives to the bit.
#[target_feature(enable = "avx2,fma")]
pub(crate) fn quantize_row(source: &[f32], blocks: &mut [InputBlock]) {
    for (source, block) in source.chunks_exact(32).zip(blocks) {
        // SAFETY: a chunk holds 32 values.
        let x: [__m256; 4] =
            std::array::from_fn(|i| unsafe { _mm256_loadu_ps(source.as_ptr().add(8 * i)) });
        let codes: [[__m256i; 2]; 2] = std::array::from_fn(|half| {
            let (codes, scale, sum) = quantize_half([x[2 * half], x[2 * half + 1]]);
            block.set_half(half, scale, sum);
            codes
        });
        // Packing works within 128-bit halves, which the permutation puts back in order.
        let words = _mm256_packs_epi32(codes[0][0], codes[0][1]);
        let more = _mm256_packs_epi32(codes[1][0], codes[1][1]);
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(words, more), order);
        // SAFETY: the array holds 32 bytes.
        unsafe { _mm256_storeu_si256(block.codes.as_mut_ptr().cast(), bytes) };
    }
}

/// The codes of 16 values, their scale, and the sum of the codes.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn quantize_half(x: [__m256; 2]) -> ([__m256i; 2], f32, i32) {
    let magnitude = x.map(|x| _mm256_andnot_ps(_mm256_set1_ps(-0.0), x));
    let largest = max_lanes(_mm256_max_ps(magnitude[0], magnitude[1]));
    let scale = largest / 127.0;
    let inverse = _mm256_set1_ps(if largest > 0.0 { 127.0 / largest } else { 0.0 });
    let codes = x.map(|x| _mm256_cvtps_epi32(_mm256_mul_ps(x, inverse)));
    let sum = sum_integers(_mm256_add_epi32(codes[0], codes[1]));
    (codes, scale, sum)
}

/// See [`crate::scalar::linear::quantized`]; integer sums are the same, f32 sums differ in order.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn quantized(task: &QuantizedTask<'_>) {
    with_format!(task.weight.dtype(), F => quantized_as::<F>(task), _ => {
        unreachable!("{} is no quantized type", task.weight.dtype())
    });
}

#[target_feature(enable = "avx2,fma,f16c")]
fn quantized_as<F: Codes>(task: &QuantizedTask<'_>) {
    let tokens = task.input.tokens();
    for index in task.groups.clone() {
        let group = task.weight.quantized_group(index);
        let mut token = 0;
        while token < tokens {
            token += match tokens - token {
                1 => quantized_tile::<F, 1>(task, index, group, token),
                2 => quantized_tile::<F, 2>(task, index, group, token),
                _ => quantized_tile::<F, 4>(task, index, group, token),
            };
        }
    }
}

/// One group times up to `T` tokens; returns how many.
#[target_feature(enable = "avx2,fma,f16c")]
fn quantized_tile<F: Codes, const T: usize>(
    task: &QuantizedTask<'_>,
    index: usize,
    group: QuantizedGroup<'_>,
    token: usize,
) -> usize {
    let sums = tile_sums::<F, T>(group, task.input, token);
    let count = T.min(task.input.tokens() - token);
    for (t, sum) in sums.into_iter().take(count).enumerate() {
        let mut values = [0.0; LANES];
        // SAFETY: the array holds a register.
        unsafe { _mm256_storeu_ps(values.as_mut_ptr(), sum) };
        // SAFETY: tasks that run at once differ in groups, so in columns.
        unsafe { task.output.put(token + t, index * LANES, &values) };
    }
    count
}

#[target_feature(enable = "avx2,fma,f16c")]
fn tile_sums<F: Codes, const T: usize>(
    group: QuantizedGroup<'_>,
    input: &QuantizedRows,
    token: usize,
) -> [__m256; T] {
    let rows = input.tile::<T>(token);
    assert_eq!(input.columns(), group.columns, "in_features");
    let mut sums = [_mm256_setzero_ps(); T];
    let blocks = group.words.chunks_exact(F::WORDS * 4 * LANES);
    let heads = group.heads.chunks_exact(F::HEAD * LANES);
    for (block, (words, head)) in blocks.zip(heads).take(group.columns / F::LEN).enumerate() {
        for sub in 0..F::SUBS {
            ask_ahead::<F>(words.as_ptr(), head.as_ptr(), sub, LANES);
            let chunk = block * F::SUBS + sub;
            // SAFETY: AVX2 and F16C are enabled; the slices hold one block of 8 rows.
            let (codes, scales, mins) = unsafe {
                let head = head.as_ptr();
                (
                    F::codes(words.as_ptr(), sub),
                    F::scales::<__m256i>(head, sub),
                    F::mins::<__m256i>(head, sub),
                )
            };
            // SAFETY: AVX2 and FMA are enabled; rows have `columns / 32` blocks.
            unsafe {
                let inputs = rows.map(|row| &*row.add(chunk));
                if F::SIGNED {
                    add_signed::<F, T>(&mut sums, &codes, scales, inputs);
                } else {
                    for (sum, input) in sums.iter_mut().zip(inputs) {
                        add_unsigned::<F>(sum, &codes, scales, mins, input);
                    }
                }
            }
        }
    }
    sums
}

/// Adds the products of 32 signed values of 8 rows with those of `T` tokens.
///
/// One operand of `vpmaddubsw` is unsigned: the code's magnitude, while the input takes its sign. Magnitudes serve all
/// tokens, so words come first and tokens second.
///
/// # Safety
/// AVX2 and FMA are enabled.
#[inline(always)]
unsafe fn add_signed<F: Codes, const T: usize>(
    sums: &mut [__m256; T],
    codes: &[__m256i; 8],
    scales: [__m256; 2],
    inputs: [&InputBlock; T],
) {
    // SAFETY: by the contract; eight words are the codes of a block.
    unsafe {
        for (half, scales) in scales.iter().enumerate() {
            let mut dots = [_mm256_setzero_si256(); T];
            let mut runs = [_mm256_setzero_si256(); T];
            for word in 0..4 {
                let code = codes[4 * half + word];
                let magnitude = _mm256_abs_epi8(code);
                for t in 0..T {
                    let x = inputs[t].codes.as_ptr().cast::<i32>().add(4 * half + word);
                    let x = _mm256_set1_epi32(x.read());
                    let pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(x, code));
                    widen_at::<F>(&mut dots[t], &mut runs[t], pairs, word);
                }
            }
            for t in 0..T {
                let scale = _mm256_broadcast_ss(&inputs[t].scales[half]);
                let factor = _mm256_mul_ps(*scales, scale);
                sums[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[t]), factor, sums[t]);
            }
        }
    }
}

/// Adds the products of 32 unsigned values of 8 rows with those of one token.
///
/// # Safety
/// AVX2 and FMA are enabled.
#[inline(always)]
unsafe fn add_unsigned<F: Codes>(
    sum: &mut __m256,
    codes: &[__m256i; 8],
    scales: [__m256; 2],
    mins: [__m256; 2],
    input: &InputBlock,
) {
    // SAFETY: by the contract; eight words are the codes of a block.
    unsafe {
        for (half, scales) in scales.iter().enumerate() {
            let mut dot = _mm256_setzero_si256();
            let mut run = _mm256_setzero_si256();
            for word in 0..4 {
                let x = input.codes.as_ptr().cast::<i32>().add(4 * half + word);
                let x = _mm256_set1_epi32(x.read());
                let pairs = _mm256_maddubs_epi16(codes[4 * half + word], x);
                widen_at::<F>(&mut dot, &mut run, pairs, word);
            }
            let scale = _mm256_broadcast_ss(&input.scales[half]);
            let factor = _mm256_mul_ps(*scales, scale);
            *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), factor, *sum);
        }
        if F::SPLIT {
            for (half, min) in mins.iter().enumerate() {
                let total = _mm256_broadcast_ss(&input.half_sums[half]);
                *sum = _mm256_fmadd_ps(*min, total, *sum);
            }
        } else {
            let total = _mm256_broadcast_ss(&input.sum);
            *sum = _mm256_fmadd_ps(mins[0], total, *sum);
        }
    }
}

/// How many `vpmaddubsw` results of a format can be added before 16 bits overflow.
const fn run_length(max_code: i32) -> usize {
    let fit = 32767 / (2 * 127 * max_code);
    if fit > 4 { 4 } else { fit as usize }
}

/// Adds `pairs`, the products of word `word` of four, to the 16-bit `run`, and the run to `dot` where it is full.
///
/// # Safety
/// AVX2 is enabled.
#[inline(always)]
unsafe fn widen_at<F: Codes>(dot: &mut __m256i, run: &mut __m256i, pairs: __m256i, word: usize) {
    // SAFETY: by the contract.
    unsafe {
        *run = _mm256_add_epi16(*run, pairs);
        if (word + 1).is_multiple_of(run_length(F::MAX_CODE)) || word == 3 {
            *dot = _mm256_add_epi32(*dot, _mm256_madd_epi16(*run, _mm256_set1_epi16(1)));
            *run = _mm256_setzero_si256();
        }
    }
}

/// See [`crate::scalar::linear::float`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn float(task: &FloatTask<'_>) {
    match task.group {
        FloatGroup::F32(values) => float_as(task, values),
        FloatGroup::F16(values) => float_as(task, values),
        FloatGroup::Bf16(values) => float_as(task, values),
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn float_as<E: Widen>(task: &FloatTask<'_>, weights: &[E]) {
    let tokens = task.output.tokens();
    let mut token = 0;
    while token < tokens {
        token += match tokens - token {
            1 => float_tile::<E, 1>(task, weights, token),
            2 => float_tile::<E, 2>(task, weights, token),
            _ => float_tile::<E, 4>(task, weights, token),
        };
    }
}

/// Independent sums of an output, so that one addition need not wait for the last. The same for any number of
/// tokens: a row gives the same bits alone and among others.
const SUMS: usize = 2;

/// One group times up to `T` tokens; returns how many. Rows that do not exist are the last one.
#[target_feature(enable = "avx2,fma,f16c")]
fn float_tile<E: Widen, const T: usize>(
    task: &FloatTask<'_>,
    weights: &[E],
    token: usize,
) -> usize {
    let columns = task.columns;
    let count = T.min(task.output.tokens() - token);
    let mut rows = [task.input.as_ptr(); T];
    for (t, row) in rows.iter_mut().enumerate() {
        *row = task.input[(token + t.min(count - 1)) * columns..][..columns].as_ptr();
    }
    let weights = &weights[..columns * LANES];
    let mut sums = [[_mm256_setzero_ps(); T]; SUMS];
    let whole = columns / SUMS * SUMS;
    for column in (0..whole).step_by(SUMS) {
        ask_for::<E>(weights.as_ptr().wrapping_add(column * LANES), SUMS * LANES);
        for (u, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `column + u` is below `columns`, of which a row holds one run and the weights `LANES`.
            unsafe { multiply_column(sums, weights.as_ptr(), &rows, column + u) };
        }
    }
    for column in whole..columns {
        // SAFETY: as above.
        unsafe { multiply_column(&mut sums[0], weights.as_ptr(), &rows, column) };
    }
    for t in 0..count {
        let sum = sums
            .iter()
            .skip(1)
            .fold(sums[0][t], |sum, more| _mm256_add_ps(sum, more[t]));
        let mut values = [0.0; LANES];
        // SAFETY: the array holds a register.
        unsafe { _mm256_storeu_ps(values.as_mut_ptr(), sum) };
        // SAFETY: tasks that run at once differ in columns.
        unsafe { task.output.put(token + t, task.first, &values) };
    }
    count
}

/// Adds the products of one column of 8 rows with `T` tokens.
///
/// # Safety
/// AVX2, FMA and F16C are enabled; `weights` is `[columns][8]`, rows `[columns]`, `column < columns`.
#[inline(always)]
unsafe fn multiply_column<E: Widen, const T: usize>(
    sums: &mut [__m256; T],
    weights: *const E,
    rows: &[*const f32; T],
    column: usize,
) {
    // SAFETY: by the contract.
    unsafe {
        let weight = E::widen(weights.add(column * LANES));
        for (sum, row) in sums.iter_mut().zip(rows) {
            let x = _mm256_broadcast_ss(&*row.add(column));
            *sum = _mm256_fmadd_ps(weight, x, *sum);
        }
    }
}

/// Stored floats that load as eight f32.
pub(crate) trait Widen: Copy {
    /// # Safety
    /// AVX2 and F16C are enabled; `from` points to eight values.
    unsafe fn widen(from: *const Self) -> __m256;
}

impl Widen for f32 {
    #[inline(always)]
    unsafe fn widen(from: *const Self) -> __m256 {
        // SAFETY: by the contract.
        unsafe { _mm256_loadu_ps(from) }
    }
}

impl Widen for f16 {
    #[inline(always)]
    unsafe fn widen(from: *const Self) -> __m256 {
        // SAFETY: by the contract.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }
}

impl Widen for bf16 {
    #[inline(always)]
    unsafe fn widen(from: *const Self) -> __m256 {
        // SAFETY: by the contract.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }
}
