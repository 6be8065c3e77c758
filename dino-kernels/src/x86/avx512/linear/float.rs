//! Float weights, widened to f32 beside the f32 rows of the input.

use super::LANES;
use crate::packed::FloatGroup;
use crate::table::FloatTask;
use crate::x86::ahead::ask_for;
use half::{bf16, f16};
use std::arch::x86_64::*;

/// See [`crate::scalar::linear::float`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(super) fn float(task: &FloatTask<'_>) {
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
            2 => float_tile::<E, 2>(task, weights, token),
            3..7 => float_tile::<E, 4>(task, weights, token),
            _ => float_tile::<E, 8>(task, weights, token),
        };
    }
}

/// Independent sums of an output; see the AVX2 kernels.
const SUMS: usize = 2;

/// One group times up to `T` tokens; returns how many. Rows that do not exist are the last one.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
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
    let mut sums = [[_mm512_setzero_ps(); T]; SUMS];
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
            .fold(sums[0][t], |sum, more| _mm512_add_ps(sum, more[t]));
        let mut values = [0.0; LANES];
        // SAFETY: the array holds a register.
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), sum) };
        // SAFETY: tasks that run at once differ in columns.
        unsafe { task.output.put(token + t, task.first, &values) };
    }
    count
}

/// Adds the products of one column of 16 rows with `T` tokens.
///
/// # Safety
/// AVX-512 is enabled; `weights` is `[columns][16]`, rows `[columns]`, `column < columns`.
#[inline(always)]
unsafe fn multiply_column<E: Widen, const T: usize>(
    sums: &mut [__m512; T],
    weights: *const E,
    rows: &[*const f32; T],
    column: usize,
) {
    // SAFETY: by the contract.
    unsafe {
        let weight = E::widen(weights.add(column * LANES));
        for (sum, row) in sums.iter_mut().zip(rows) {
            let x = _mm512_set1_ps(*row.add(column));
            *sum = _mm512_fmadd_ps(weight, x, *sum);
        }
    }
}

/// Stored floats that load as sixteen f32.
trait Widen: Copy {
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
