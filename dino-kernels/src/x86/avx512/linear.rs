//! Linear layers on 512-bit registers with VNNI.
//!
//! As the AVX2 ones, with 16 rows to a register and these differences:
//!
//! 1. `vpdpbusd` multiplies and sums four bytes into 32 bits at once: nothing is widened on the way.
//! 2. It wants unsigned codes. What is added to make them so is taken off in integers ([`products`]).
//! 3. Few rows of input are bound by memory: codes go from memory to registers and are used at once. Many are bound by
//!    arithmetic: codes are unpacked once for all of them ([`panel`]).

mod float;
mod panel;
mod products;
pub(crate) mod sparse;

use crate::packed::{Codes, QuantizedGroup, with_format};
use crate::quantized::{InputBlock, QuantizedRows};
use crate::table::{LinearKernels, QuantizedTask};
use crate::tuning::{Panels, Tuning};
use crate::x86::ahead::ask_ahead;
use crate::x86::avx2;
pub(super) use products::unrolled;
use products::{Values, raised};
use std::arch::x86_64::*;
use std::ops::Range;

pub(crate) const LANES: usize = 16;
/// What takes long to unpack gains sooner from a panel. A panel leaves a third of a first-level cache of 48 KiB to rows and
/// sums.
const PANELS: Panels = Panels {
    from: 64,
    from_blocks: 24,
    bytes: 28 << 10,
};

/// Rows of input that codes are unpacked for at once, where there are fewer.
const MOST: usize = 8;

pub(crate) const TABLE: LinearKernels = LinearKernels {
    lanes: LANES,
    tuning: Tuning {
        task_work: Tuning::TASK_WORK,
        panels: Some(PANELS),
    },
    quantize_row,
    quantized,
    float: float::float,
};

/// Rows are short; 256-bit registers are as good for them.
#[target_feature(enable = "avx2,fma")]
fn quantize_row(source: &[f32], blocks: &mut [InputBlock]) {
    avx2::linear::quantize_row(source, blocks);
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
    if tokens >= task.tuning.panels.unwrap_or(PANELS).from(F::SUBS) {
        return panel::quantized::<F>(task);
    }
    for index in task.groups.clone() {
        let group = task.weight.quantized_group(index);
        let mut token = 0;
        while token < tokens {
            // What is left is cut evenly, so that the last rows do not unpack codes for themselves.
            let rest = tokens - token;
            let count = rest.div_ceil(rest.div_ceil(MOST));
            let at = (index, token..token + count);
            match count {
                1 => tile::<F, 1>(task, group, at),
                2 => tile::<F, 2>(task, group, at),
                3 | 4 => tile::<F, 4>(task, group, at),
                5 | 6 => tile::<F, 6>(task, group, at),
                _ => tile::<F, MOST>(task, group, at),
            }
            token += count;
        }
    }
}

/// Group `index` times `tokens`, of which there are at most `T`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn tile<F: Codes, const T: usize>(
    task: &QuantizedTask<'_>,
    group: QuantizedGroup<'_>,
    (index, tokens): (usize, Range<usize>),
) {
    let sums = tile_sums::<F, T>(group, task.input, tokens.start);
    for (token, sum) in tokens.zip(sums) {
        let mut values = [0.0; LANES];
        // SAFETY: the array holds a register.
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), sum) };
        // SAFETY: tasks that run at once differ in groups, so in columns.
        unsafe { task.output.put(token, index * LANES, &values) };
    }
}

/// A group times `T` rows from `token` on.
///
/// Eight registers hold codes and eight sums; the rows' eight addresses lie in registers too.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn tile_sums<F: Codes, const T: usize>(
    group: QuantizedGroup<'_>,
    input: &QuantizedRows,
    token: usize,
) -> [__m512; T] {
    let rows = input.tile::<T>(token);
    assert_eq!(input.columns(), group.columns, "in_features");
    let mut sums = [_mm512_setzero_ps(); T];
    let blocks = group.words.chunks_exact(F::WORDS * 4 * LANES);
    let heads = group.heads.chunks_exact(F::HEAD * LANES);
    // Raising codes costs eight instructions a chunk, not raising them two a row.
    let raised = if T > 2 { 128 } else { raised::<F>() };
    for (block, (words, head)) in blocks.zip(heads).take(group.columns / F::LEN).enumerate() {
        for sub in 0..F::SUBS {
            ask_ahead::<F>(words.as_ptr(), head.as_ptr(), sub, LANES);
            let chunk = block * F::SUBS + sub;
            // SAFETY: AVX-512 is enabled; the slices hold one block of 16 rows.
            let mut values = unsafe { Values::unpack::<F>(words.as_ptr(), head.as_ptr(), sub) };
            if T > 2 {
                // SAFETY: AVX-512 is enabled.
                unsafe { values.raise::<F>() };
            }
            unrolled!(t < T, {
                // SAFETY: AVX-512 with VNNI is enabled; rows of the input have `columns / 32` blocks.
                unsafe { values.add::<F>(&mut sums[t], &*rows[t].add(chunk), raised) };
            });
        }
    }
    sums
}
