//! Linear layers on 512-bit registers with VNNI.
//!
//! As the AVX2 ones, with 16 rows to a register and three differences:
//!
//! 1. `vpdpbusd` multiplies and sums four bytes into 32 bits at once: nothing is widened on the way.
//! 2. It wants unsigned codes. Signed ones are moved up by 128, and the same is taken off through the minimum, for
//!    which the sums of the input are there anyway.
//! 3. Twice the registers hold the sums of eight tokens.

use crate::packed::{Codes, FloatGroup, QuantizedGroup, Register, with_format};
use crate::quantized::{QuantizedRow, QuantizedRowMut, QuantizedRows};
use crate::table::{FloatTask, LinearKernels, QuantizedTask};
use crate::x86::ahead::{ask_ahead, ask_for};
use crate::x86::avx2;
use half::{bf16, f16};
use std::arch::x86_64::*;

const LANES: usize = 16;

pub(crate) const TABLE: LinearKernels = LinearKernels {
    lanes: LANES,
    quantize_row,
    quantized,
    float,
};

/// Rows are short; 256-bit registers are as good for them.
#[target_feature(enable = "avx2,fma")]
fn quantize_row(source: &[f32], row: QuantizedRowMut<'_>) {
    avx2::linear::quantize_row(source, row);
}

/// See [`crate::scalar::linear::quantized`]; integer sums are the same, f32 sums differ in order.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn quantized(task: &QuantizedTask<'_>) {
    with_format!(task.weight.dtype(), F => quantized_as::<F>(task), _ => {
        unreachable!("{} is no quantized type", task.weight.dtype())
    });
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn quantized_as<F: Codes>(task: &QuantizedTask<'_>) {
    let tokens = task.input.tokens();
    for index in task.groups.clone() {
        let group = task.weight.quantized_group(index);
        let mut token = 0;
        while token < tokens {
            token += match tokens - token {
                1 => quantized_tile::<F, 1>(task, index, group, token),
                2 | 3 => quantized_tile::<F, 2>(task, index, group, token),
                4..8 => quantized_tile::<F, 4>(task, index, group, token),
                _ => quantized_tile::<F, 8>(task, index, group, token),
            };
        }
    }
}

/// One group times `T` tokens; returns `T`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn quantized_tile<F: Codes, const T: usize>(
    task: &QuantizedTask<'_>,
    index: usize,
    group: QuantizedGroup<'_>,
    token: usize,
) -> usize {
    let sums = tile_sums::<F, T>(group, task.input, token);
    for (t, sum) in sums.into_iter().enumerate() {
        let mut values = [0.0; LANES];
        // SAFETY: the array holds a register.
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), sum) };
        // SAFETY: tasks that run at once differ in groups, so in columns.
        unsafe { task.output.put(token + t, index * LANES, &values) };
    }
    T
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn tile_sums<F: Codes, const T: usize>(
    group: QuantizedGroup<'_>,
    input: &QuantizedRows,
    token: usize,
) -> [__m512; T] {
    let rows: [QuantizedRow; T] = std::array::from_fn(|t| input.row(token + t));
    assert_eq!(input.columns(), group.columns, "in_features");
    let mut sums = [_mm512_setzero_ps(); T];
    let blocks = group.words.chunks_exact(F::WORDS * 4 * LANES);
    let heads = group.heads.chunks_exact(F::HEAD * LANES);
    for (block, (words, head)) in blocks.zip(heads).take(group.columns / F::LEN).enumerate() {
        ask_ahead::<F>(words.as_ptr(), head.as_ptr(), LANES);
        for sub in 0..F::SUBS {
            let chunk = block * F::SUBS + sub;
            // SAFETY: AVX-512 is enabled; the slices hold one block of 16 rows.
            let (codes, scales, mins) = unsafe { unpack::<F>(words.as_ptr(), head.as_ptr(), sub) };
            for (sum, row) in sums.iter_mut().zip(&rows) {
                // SAFETY: AVX-512 is enabled; rows have `columns` codes, and there are
                // `columns / 32` chunks.
                unsafe { add_chunk::<F>(sum, &codes, scales, mins, row, chunk) };
            }
        }
    }
    sums
}

/// Unsigned codes, scales and minimums of sub-block `sub`.
///
/// # Safety
/// AVX-512 is enabled; the pointers are to a block of 16 rows.
#[inline(always)]
unsafe fn unpack<F: Codes>(
    words: *const u8,
    head: *const u8,
    sub: usize,
) -> ([__m512i; 8], [__m512; 2], [__m512; 2]) {
    // SAFETY: by the contract.
    unsafe {
        let codes = F::codes::<__m512i>(words, sub);
        let scales = F::scales::<__m512i>(head, sub);
        if F::SIGNED {
            let up = __m512i::splat(0x8080_8080);
            let mut codes = codes;
            for code in &mut codes {
                *code = _mm512_xor_si512(*code, up);
            }
            let offset = _mm512_set1_ps(-128.0);
            let mins = [
                _mm512_mul_ps(scales[0], offset),
                _mm512_mul_ps(scales[1], offset),
            ];
            return (codes, scales, mins);
        }
        (codes, scales, F::mins::<__m512i>(head, sub))
    }
}

/// Adds the products of 32 values of 16 rows with those of one token.
///
/// # Safety
/// AVX-512 is enabled, and `row` has more than `chunk` blocks.
#[inline(always)]
unsafe fn add_chunk<F: Codes>(
    sum: &mut __m512,
    codes: &[__m512i; 8],
    scales: [__m512; 2],
    mins: [__m512; 2],
    row: &QuantizedRow,
    chunk: usize,
) {
    // SAFETY: by the contract; offsets follow the row's layout.
    unsafe {
        let input = row.codes.add(32 * chunk);
        for (half, scales) in scales.iter().enumerate() {
            let mut dot = _mm512_setzero_si512();
            for (word, code) in codes.iter().enumerate().skip(4 * half).take(4) {
                let x = input.add(4 * word).cast::<i32>().read_unaligned();
                dot = _mm512_dpbusd_epi32(dot, *code, _mm512_set1_epi32(x));
            }
            let scale = _mm512_set1_ps(*row.scales.add(2 * chunk + half));
            let factor = _mm512_mul_ps(*scales, scale);
            *sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), factor, *sum);
        }
        if F::SPLIT {
            for (half, min) in mins.iter().enumerate() {
                let total = _mm512_set1_ps(*row.half_sums.add(2 * chunk + half));
                *sum = _mm512_fmadd_ps(*min, total, *sum);
            }
        } else {
            let total = _mm512_set1_ps(*row.sums.add(chunk));
            *sum = _mm512_fmadd_ps(mins[0], total, *sum);
        }
    }
}

/// See [`crate::scalar::linear::float`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn float(task: &FloatTask<'_>) {
    match task.group {
        FloatGroup::F32(values) => float_as(task, values),
        FloatGroup::F16(values) => float_as(task, values),
        FloatGroup::Bf16(values) => float_as(task, values),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn float_as<E: Widen>(task: &FloatTask<'_>, weights: &[E]) {
    let tokens = task.output.tokens();
    let mut token = 0;
    while token < tokens {
        token += match tokens - token {
            1 => float_tile::<E, 1>(task, weights, token),
            2 | 3 => float_tile::<E, 2>(task, weights, token),
            4..8 => float_tile::<E, 4>(task, weights, token),
            _ => float_tile::<E, 8>(task, weights, token),
        };
    }
}

/// Independent sums of an output; see the AVX2 kernels.
const SUMS: usize = 2;

/// One group times `T` tokens; returns `T`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn float_tile<E: Widen, const T: usize>(
    task: &FloatTask<'_>,
    weights: &[E],
    token: usize,
) -> usize {
    let columns = task.columns;
    let input = &task.input[token * columns..(token + T) * columns];
    let weights = &weights[..columns * LANES];
    let mut sums = [[_mm512_setzero_ps(); T]; SUMS];
    let whole = columns / SUMS * SUMS;
    for column in (0..whole).step_by(SUMS) {
        ask_for::<E>(weights.as_ptr().wrapping_add(column * LANES), SUMS * LANES);
        for (u, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `column + u` is below `columns`, of which both slices hold `LANES` and `T` runs.
            unsafe { multiply_column(sums, weights.as_ptr(), input.as_ptr(), column + u, columns) };
        }
    }
    for column in whole..columns {
        // SAFETY: as above.
        unsafe {
            multiply_column(
                &mut sums[0],
                weights.as_ptr(),
                input.as_ptr(),
                column,
                columns,
            );
        };
    }
    for t in 0..T {
        let sum = sums
            .iter()
            .skip(1)
            .fold(sums[0][t], |sum, more| _mm512_add_ps(sum, more[t]));
        let mut values = [0.0; LANES];
        // SAFETY: the array holds a register.
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), sum) };
        // SAFETY: tasks that run at once differ in columns.
        unsafe { task.output.put(token + t, task.first, &values) };
    }
    T
}

/// Adds the products of one column of 16 rows with `T` tokens.
///
/// # Safety
/// AVX-512 is enabled; `weights` is `[columns][16]`, `input` `[T][columns]`, `column < columns`.
#[inline(always)]
unsafe fn multiply_column<E: Widen, const T: usize>(
    sums: &mut [__m512; T],
    weights: *const E,
    input: *const f32,
    column: usize,
    columns: usize,
) {
    // SAFETY: by the contract.
    unsafe {
        let weight = E::widen(weights.add(column * LANES));
        for (t, sum) in sums.iter_mut().enumerate() {
            let x = _mm512_set1_ps(*input.add(t * columns + column));
            *sum = _mm512_fmadd_ps(weight, x, *sum);
        }
    }
}

/// Stored floats that load as sixteen f32.
pub(crate) trait Widen: Copy {
    /// # Safety
    /// AVX-512 is enabled; `from` points to sixteen values.
    unsafe fn widen(from: *const Self) -> __m512;
}

impl Widen for f32 {
    #[inline(always)]
    unsafe fn widen(from: *const Self) -> __m512 {
        // SAFETY: by the contract.
        unsafe { _mm512_loadu_ps(from) }
    }
}

impl Widen for f16 {
    #[inline(always)]
    unsafe fn widen(from: *const Self) -> __m512 {
        // SAFETY: by the contract.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }
}

impl Widen for bf16 {
    #[inline(always)]
    unsafe fn widen(from: *const Self) -> __m512 {
        // SAFETY: by the contract.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
}
