//! Linear layers on 512-bit registers with VNNI.
//!
//! As the AVX2 ones, with 16 rows to a register and these differences:
//!
//! 1. `vpdpbusd` multiplies and sums four bytes into 32 bits at once: nothing is widened on the way.
//! 2. It wants unsigned codes. What is added to make them so is taken off in integers ([`products`]).
//! 3. Few rows of input are bound by memory: codes go from memory to registers and are used at once. Many are bound by
//!    arithmetic: codes are unpacked once for all of them ([`panel`]).

mod float;
pub(crate) mod panel;
mod products;

use crate::packed::{Codes, QuantizedGroup, with_format};
use crate::quantized::{QuantizedRowMut, QuantizedRows};
use crate::table::{LinearKernels, QuantizedTask};
use crate::x86::ahead::ask_ahead;
use crate::x86::avx2;
use products::Values;
use std::arch::x86_64::*;

pub(crate) const LANES: usize = 16;
/// Rows of input from which unpacking codes once, beside the rows, is faster than for every few of them.
pub(crate) const MANY: usize = 24;

pub(crate) const TABLE: LinearKernels = LinearKernels {
    lanes: LANES,
    quantize_row,
    quantized,
    float: float::float,
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
    if tokens >= MANY {
        return panel::quantized::<F>(task);
    }
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
    let mut rows = [input.row(token); T];
    for (t, row) in rows.iter_mut().enumerate() {
        *row = input.row(token + t);
    }
    assert_eq!(input.columns(), group.columns, "in_features");
    let mut sums = [_mm512_setzero_ps(); T];
    let blocks = group.words.chunks_exact(F::WORDS * 4 * LANES);
    let heads = group.heads.chunks_exact(F::HEAD * LANES);
    for (block, (words, head)) in blocks.zip(heads).take(group.columns / F::LEN).enumerate() {
        for sub in 0..F::SUBS {
            ask_ahead::<F>(words.as_ptr(), head.as_ptr(), sub, LANES);
            let chunk = block * F::SUBS + sub;
            // SAFETY: AVX-512 is enabled; the slices hold one block of 16 rows; rows have `columns` codes, and there
            // are `columns / 32` chunks.
            unsafe {
                let values = Values::unpack::<F>(words.as_ptr(), head.as_ptr(), sub);
                for (sum, row) in sums.iter_mut().zip(&rows) {
                    values.add::<F>(sum, row, chunk);
                }
            }
        }
    }
    sums
}
