//! Int8 layers on 128-bit registers.
//!
//! Codes of inputs are made signed, for Arm multiplies signed bytes. How the four products of a word are summed is the one
//! thing that depends on the processor ([`Word`]).

use super::linear::LANES;
use crate::int8::Int8Input;
use crate::packed::Int8Group;
use crate::scalar::int8::quantize_row_inline;
use crate::table::{Int8Factor, Int8Kernels, Int8Task};
use std::arch::aarch64::*;
use std::array::from_fn;

pub(crate) const TABLE: Int8Kernels = Int8Kernels {
    quantize_row,
    multiply,
};

/// What the codes of inputs, made signed, no longer are above their meaning.
const RAISED: i32 = 128;

/// Sums of four products of bytes.
pub(crate) trait Word: 'static {
    /// `sum` and, row by row, the products of the four bytes of a row in `codes` with those of `x`.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn add(sum: int32x4_t, codes: int8x16_t, x: int8x16_t) -> int32x4_t;
}

/// By `smull`, in 16 bits.
struct Widening;

impl Word for Widening {
    #[inline(always)]
    unsafe fn add(sum: int32x4_t, codes: int8x16_t, x: int8x16_t) -> int32x4_t {
        // SAFETY: by the contract.
        unsafe {
            let low = vpaddlq_s16(vmull_s8(vget_low_s8(codes), vget_low_s8(x)));
            let high = vpaddlq_s16(vmull_high_s8(codes, x));
            vaddq_s32(sum, vpaddq_s32(low, high))
        }
    }
}

#[target_feature(enable = "neon")]
fn quantize_row(source: &[f32], input: &Int8Input, codes: &mut [u8]) -> Int8Factor {
    quantize_row_inline(source, input, codes)
}

/// See [`crate::scalar::int8::multiply`], whose bits it gives.
#[target_feature(enable = "neon")]
fn multiply(task: &Int8Task<'_>) {
    // SAFETY: these instructions are part of NEON.
    unsafe { multiply_by::<Widening>(task) };
}

/// [`multiply`] with other instructions.
///
/// # Safety
/// The processor has those of `W`.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) unsafe fn multiply_by<W: Word>(task: &Int8Task<'_>) {
    let mut index = task.groups.start;
    while index < task.groups.end {
        // SAFETY: by the contract.
        index += unsafe {
            match task.groups.end - index {
                1 => groups::<W, 1>(task, index),
                _ => groups::<W, 2>(task, index),
            }
        };
    }
}

/// `G` groups from `index` on times all tokens; returns `G`.
///
/// # Safety
/// As [`multiply_by`].
#[inline]
#[target_feature(enable = "neon")]
unsafe fn groups<W: Word, const G: usize>(task: &Int8Task<'_>, index: usize) -> usize {
    let (mut token, tokens) = (0, task.input.tokens());
    while token < tokens {
        // SAFETY: by the contract.
        token += unsafe {
            match tokens - token {
                1 => tile::<W, G, 1>(task, index, token),
                2 | 3 => tile::<W, G, 2>(task, index, token),
                4..8 => tile::<W, G, 4>(task, index, token),
                _ => tile::<W, G, 8>(task, index, token),
            }
        };
    }
    G
}

/// `G` groups times `T` tokens; returns `T`.
///
/// # Safety
/// As [`multiply_by`].
#[inline]
#[target_feature(enable = "neon")]
unsafe fn tile<W: Word, const G: usize, const T: usize>(
    task: &Int8Task<'_>,
    index: usize,
    token: usize,
) -> usize {
    let groups: [Int8Group<'_>; G] = from_fn(|g| task.weight.int8_group(index + g));
    let rows: [&[u8]; T] = from_fn(|t| task.input.codes(token + t));
    let mut sums = [[vdupq_n_s32(0); T]; G];
    for word in 0..task.weight.columns() / 4 {
        // SAFETY: views of groups and rows hold `columns`, so this word; the instructions by the contract.
        unsafe {
            let codes: [int8x16_t; G] =
                from_fn(|g| vld1q_s8(groups[g].words.as_ptr().add(4 * LANES * word).cast()));
            for (t, row) in rows.iter().enumerate() {
                let x = row.as_ptr().add(4 * word).cast::<u32>().read_unaligned();
                let x = vreinterpretq_s8_u32(vdupq_n_u32(x ^ 0x8080_8080));
                for g in 0..G {
                    sums[g][t] = W::add(sums[g][t], codes[g], x);
                }
            }
        }
    }
    for (g, sums) in sums.into_iter().enumerate() {
        for (t, sum) in sums.into_iter().enumerate() {
            store(task, index + g, token + t, sum);
        }
    }
    T
}

/// Scales the sums of a group and a token, and puts them out.
#[inline]
#[target_feature(enable = "neon")]
fn store(task: &Int8Task<'_>, index: usize, token: usize, sum: int32x4_t) {
    let heads = task.weight.int8_group(index).heads[..8 * LANES].as_ptr();
    // SAFETY: scales and sums of 4 rows.
    let (scales, totals) = unsafe {
        (
            vld1q_f32(heads.cast()),
            vld1q_s32(heads.add(4 * LANES).cast()),
        )
    };
    let factor = task.input.factor(token);
    let sum = vsubq_s32(sum, vmulq_n_s32(totals, factor.zero - RAISED));
    let sum = vmulq_n_f32(vmulq_f32(vcvtq_f32_s32(sum), scales), factor.scale);
    let mut values = [0.0; LANES];
    // SAFETY: the array holds a register.
    unsafe { vst1q_f32(values.as_mut_ptr(), sum) };
    // SAFETY: tasks that run at once differ in groups, so in columns.
    unsafe { task.output.put(token, index * LANES, &values) };
}
