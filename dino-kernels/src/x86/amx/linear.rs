//! Linear layers for many rows of input on AMX tiles.
//!
//! 1. A panel of codes, as AVX-512 unpacks it, is the right operand of `tdpbssd` as it lies; rows of input are the left
//!    one as they lie. Nothing is copied or turned.
//! 2. Sixteen values of the input share a scale, so a product is taken of 16 columns and its sums are scaled at once.
//!    That leaves three quarters of an instruction unused, but its integers are those of AVX-512, so a prompt gives the
//!    same bits as single tokens do; and what scales on the vector unit runs beside the tiles.
//! 3. Few rows are bound by memory: they are AVX-512's.

use super::tiles;
use crate::packed::{Codes, with_format};
use crate::table::{LinearKernels, QuantizedTask};
use crate::x86::avx512;
use crate::x86::avx512::linear::LANES;
use crate::x86::avx512::linear::panel::{self, SCRATCH, registers};
use std::arch::x86_64::*;

/// Rows of input from which tiles are faster than what AVX-512 does with few of them.
const MANY: usize = 24;
/// Tokens in a tile.
const TOKENS: usize = 16;
/// Sums of both halves of a chunk of a group.
const SUMS: usize = 2 * TOKENS * LANES;

pub(crate) const TABLE: LinearKernels = LinearKernels {
    quantized,
    ..avx512::linear::TABLE
};

/// See [`crate::scalar::linear::quantized`]; gives the bits of the AVX-512 kernel.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn quantized(task: &QuantizedTask<'_>) {
    if task.input.tokens() < MANY {
        return avx512::linear::quantized(task);
    }
    with_format!(task.weight.dtype(), F => quantized_as::<F>(task), _ => {
        unreachable!("{} is no quantized type", task.weight.dtype())
    });
    // SAFETY: this table is only handed out where tiles are available.
    unsafe { tiles::release() };
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn quantized_as<F: Codes>(task: &QuantizedTask<'_>) {
    SCRATCH.with_borrow_mut(|scratch| {
        let panel = &mut scratch.panel;
        let mut index = task.groups.start;
        while index < task.groups.end {
            index += match task.groups.end - index {
                1 => multiply::<F, 1>(task, index, panel),
                _ => multiply::<F, 2>(task, index, panel),
            };
        }
    });
}

/// `G` groups from `index` on times all tokens; returns `G`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn multiply<F: Codes, const G: usize>(
    task: &QuantizedTask<'_>,
    index: usize,
    panel: &mut Vec<__m512i>,
) -> usize {
    let blocks = 0..task.weight.columns() / F::LEN;
    panel::fill::<F, G, true>(task, index, blocks, panel);
    let (mut token, tokens) = (0, task.input.tokens());
    while token < tokens {
        let count = TOKENS.min(tokens - token);
        // SAFETY: this table is only handed out where tiles are available; `quantized` releases them.
        unsafe { tiles::configure(count) };
        tile::<F, G>(task, index, panel, token..token + count);
        token += count;
    }
    G
}

/// A panel times up to [`TOKENS`] tokens, as many as the tiles are configured for.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn tile<F: Codes, const G: usize>(
    task: &QuantizedTask<'_>,
    index: usize,
    panel: &[__m512i],
    tokens: std::ops::Range<usize>,
) {
    let input = task.input;
    let row_bytes = 2 * input.columns();
    let [first] = input.tile::<1>(tokens.start);
    let mut sums = [[_mm512_setzero_ps(); TOKENS]; G];
    // Two sets of integers in turn, so that tiles need not wait until the last ones are read.
    let mut dots = [[Sums([0; SUMS]); G]; 2];
    let size = G * registers::<F>();
    for (chunk, panel) in panel
        .chunks_exact(size)
        .take(input.columns() / 32)
        .enumerate()
    {
        let dots = &mut dots[chunk % 2];
        // SAFETY: the tiles are configured for these tokens, whose rows lie as far apart as they have blocks, of 64 bytes
        // each, codes first; a group of a panel begins with 8 registers of codes.
        unsafe {
            tiles::load_input(first.add(chunk).cast(), row_bytes);
            let codes = panel.as_ptr().cast::<u8>();
            tiles::multiply::<0>(codes, dots[0].0.as_mut_ptr());
            if G == 2 {
                let codes = codes.add(64 * registers::<F>());
                tiles::multiply::<1>(codes, dots[G - 1].0.as_mut_ptr());
            }
        }
        for (t, token) in tokens.clone().enumerate() {
            let input = &input.row(token)[chunk];
            for g in 0..G {
                let group = &panel[g * registers::<F>()..][..registers::<F>()];
                // SAFETY: AVX-512 is enabled; the sums hold two halves of [`TOKENS`] rows, the input this chunk.
                unsafe {
                    let dots = dots[g].0.as_ptr().add(LANES * t);
                    let dots = [dots, dots.add(SUMS / 2)];
                    let dots = [
                        _mm512_loadu_si512(dots[0].cast()),
                        _mm512_loadu_si512(dots[1].cast()),
                    ];
                    panel::add_scaled::<F>(&mut sums[g][t], dots, group, input);
                }
            }
        }
    }
    for (g, sums) in sums.iter().enumerate() {
        for (token, sum) in tokens.clone().zip(sums) {
            let mut values = [0.0; LANES];
            // SAFETY: the array holds a register.
            unsafe { _mm512_storeu_ps(values.as_mut_ptr(), *sum) };
            // SAFETY: tasks that run at once differ in groups, so in columns.
            unsafe { task.output.put(token, (index + g) * LANES, &values) };
        }
    }
}

/// Integers on cache lines, as tiles store them.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Sums([i32; SUMS]);
