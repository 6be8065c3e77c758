//! Linear layers on 128-bit registers.
//!
//! 1. A register holds one word of 4 rows; 32 registers are enough for the eight words of a sub-block, unpacked once for
//!    up to four tokens, and for what these tokens need.
//! 2. How 16 products a row are summed is the one thing that depends on the processor ([`Products`]); the loops around it
//!    are the same.
//! 3. All codes are signed bytes here: unsigned ones have 6 bits at most, and Arm multiplies signed bytes.

mod float;

use crate::Tuning;
use crate::packed::{Codes, QuantizedGroup, with_format};
use crate::quantized::{InputBlock, QuantizedRows};
use crate::table::{LinearKernels, QuantizedTask};
use std::arch::aarch64::*;

pub(super) const LANES: usize = 4;

pub(crate) const TABLE: LinearKernels = LinearKernels {
    lanes: LANES,
    tuning: Tuning::PLAIN,
    quantize_row,
    quantized,
    float: float::float,
};

/// Sums of 16 products of bytes.
pub(crate) trait Products: 'static {
    /// Row by row the sum of the 16 products of its bytes in `codes` with `x`.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn sum<F: Codes>(codes: &[uint32x4_t], x: int8x16_t) -> int32x4_t;
}

/// By `smull` and `smlal`, in 16 bits.
struct Widening;

impl Products for Widening {
    #[inline(always)]
    unsafe fn sum<F: Codes>(codes: &[uint32x4_t], x: int8x16_t) -> int32x4_t {
        // SAFETY: by the contract.
        unsafe {
            let x = vreinterpretq_s32_s8(x);
            let [a, b, c, d] = [
                vdupq_laneq_s32::<0>(x),
                vdupq_laneq_s32::<1>(x),
                vdupq_laneq_s32::<2>(x),
                vdupq_laneq_s32::<3>(x),
            ];
            let first = pairs([codes[0], codes[1]], [a, b]);
            let second = pairs([codes[2], codes[3]], [c, d]);
            let [low, high] = if FOUR_FIT * F::MAX_CODE <= i16::MAX as i32 {
                [0, 1].map(|half| vpaddlq_s16(vaddq_s16(first[half], second[half])))
            } else {
                [0, 1].map(|half| vpadalq_s16(vpaddlq_s16(first[half]), second[half]))
            };
            vpaddq_s32(low, high)
        }
    }
}

/// What a code is multiplied by at most, times the four words whose products meet in one place.
const FOUR_FIT: i32 = 4 * 127;

/// The products of two words a row, added: those of rows 0 and 1, and of rows 2 and 3. Two always fit in 16 bits, even of
/// -128 by 127.
#[inline]
#[target_feature(enable = "neon")]
fn pairs(codes: [uint32x4_t; 2], x: [int32x4_t; 2]) -> [int16x8_t; 2] {
    let [c, d] = [
        vreinterpretq_s8_u32(codes[0]),
        vreinterpretq_s8_u32(codes[1]),
    ];
    let [x, y] = [vreinterpretq_s8_s32(x[0]), vreinterpretq_s8_s32(x[1])];
    let low = vmull_s8(vget_low_s8(c), vget_low_s8(x));
    let high = vmull_high_s8(c, x);
    [
        vmlal_s8(low, vget_low_s8(d), vget_low_s8(y)),
        vmlal_high_s8(high, d, y),
    ]
}

/// See [`crate::scalar::linear::quantize_row`], whose codes it gives to the bit.
#[target_feature(enable = "neon")]
fn quantize_row(source: &[f32], blocks: &mut [InputBlock]) {
    let (halves, _) = source.as_chunks::<16>();
    for (index, source) in halves.iter().enumerate() {
        let (block, half) = (&mut blocks[index / 2], index % 2);
        // SAFETY: the array holds four registers.
        let x: [_; 4] = std::array::from_fn(|i| unsafe { vld1q_f32(source.as_ptr().add(4 * i)) });
        let [a, b, c, d] = [
            vabsq_f32(x[0]),
            vabsq_f32(x[1]),
            vabsq_f32(x[2]),
            vabsq_f32(x[3]),
        ];
        let largest = vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(a, b), vmaxnmq_f32(c, d)));
        let scale = largest / 127.0;
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let words = x.map(|x| vcvtnq_s32_f32(vmulq_n_f32(x, inverse)));
        let low = vcombine_s16(vqmovn_s32(words[0]), vqmovn_s32(words[1]));
        let high = vcombine_s16(vqmovn_s32(words[2]), vqmovn_s32(words[3]));
        let bytes = vcombine_s8(vqmovn_s16(low), vqmovn_s16(high));
        let sum = i32::from(vaddlvq_s8(bytes));
        // SAFETY: half of 32 bytes is a register.
        unsafe { vst1q_s8(block.codes.as_mut_ptr().add(16 * half), bytes) };
        block.set_half(half, scale, sum);
    }
}

/// See [`crate::scalar::linear::quantized`]; integer sums are the same, f32 sums differ in order.
#[target_feature(enable = "neon")]
fn quantized(task: &QuantizedTask<'_>) {
    // SAFETY: these instructions are part of NEON.
    unsafe { quantized_by::<Widening>(task) };
}

/// [`quantized`] with other instructions.
///
/// # Safety
/// The processor has those of `P`.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) unsafe fn quantized_by<P: Products>(task: &QuantizedTask<'_>) {
    with_format!(task.weight.dtype(), F => {
        // SAFETY: by the contract.
        unsafe { quantized_as::<F, P>(task) }
    }, _ => {
        unreachable!("{} is no quantized type", task.weight.dtype())
    });
}

/// # Safety
/// As [`quantized_by`].
#[target_feature(enable = "neon")]
unsafe fn quantized_as<F: Codes, P: Products>(task: &QuantizedTask<'_>) {
    let tokens = task.input.tokens();
    for index in task.groups.clone() {
        let group = task.weight.quantized_group(index);
        let mut token = 0;
        while token < tokens {
            // SAFETY: by the contract.
            token += unsafe {
                match tokens - token {
                    1 => quantized_tile::<F, P, 1>(task, index, group, token),
                    2 | 3 => quantized_tile::<F, P, 2>(task, index, group, token),
                    _ => quantized_tile::<F, P, 4>(task, index, group, token),
                }
            };
        }
    }
}

/// One group times `T` tokens; returns `T`.
///
/// # Safety
/// As [`quantized_by`].
#[target_feature(enable = "neon")]
unsafe fn quantized_tile<F: Codes, P: Products, const T: usize>(
    task: &QuantizedTask<'_>,
    index: usize,
    group: QuantizedGroup<'_>,
    token: usize,
) -> usize {
    // SAFETY: by the contract.
    let sums = unsafe { tile_sums::<F, P, T>(group, task.input, token) };
    for (t, sum) in sums.into_iter().enumerate() {
        let mut values = [0.0; LANES];
        // SAFETY: the array holds a register.
        unsafe { vst1q_f32(values.as_mut_ptr(), sum) };
        // SAFETY: tasks that run at once differ in groups, so in columns.
        unsafe { task.output.put(token + t, index * LANES, &values) };
    }
    T
}

/// # Safety
/// As [`quantized_by`].
#[inline]
#[target_feature(enable = "neon")]
unsafe fn tile_sums<F: Codes, P: Products, const T: usize>(
    group: QuantizedGroup<'_>,
    input: &QuantizedRows,
    token: usize,
) -> [float32x4_t; T] {
    let rows = input.tile::<T>(token);
    assert_eq!(input.columns(), group.columns, "in_features");
    let mut sums = [vdupq_n_f32(0.0); T];
    let blocks = group.words.chunks_exact(F::WORDS * 4 * LANES);
    let heads = group.heads.chunks_exact(F::HEAD * LANES);
    for (block, (words, head)) in blocks.zip(heads).take(group.columns / F::LEN).enumerate() {
        for sub in 0..F::SUBS {
            // SAFETY: the slices hold one block of 4 rows; rows have `columns` codes, and there are `columns / 32`
            // chunks.
            unsafe {
                let head = head.as_ptr();
                let sub_block = SubBlock {
                    codes: F::codes(words.as_ptr(), sub),
                    scales: F::scales::<uint32x4_t>(head, sub),
                    mins: F::mins::<uint32x4_t>(head, sub),
                };
                for (sum, row) in sums.iter_mut().zip(&rows) {
                    *sum = sub_block.multiply::<F, P>(*sum, &*row.add(block * F::SUBS + sub));
                }
            }
        }
    }
    sums
}

/// 32 values of 4 rows.
struct SubBlock {
    codes: [uint32x4_t; 8],
    scales: [float32x4_t; 2],
    mins: [float32x4_t; 2],
}

impl SubBlock {
    /// `sum` and the products with `input`.
    ///
    /// # Safety
    /// The processor has the instructions of `P`.
    #[inline(always)]
    unsafe fn multiply<F: Codes, P: Products>(
        &self,
        mut sum: float32x4_t,
        input: &InputBlock,
    ) -> float32x4_t {
        // SAFETY: by the contract; a half of the codes is a register.
        unsafe {
            for (half, scales) in self.scales.iter().enumerate() {
                let x = vld1q_s8(input.codes.as_ptr().add(16 * half));
                let dot = P::sum::<F>(&self.codes[4 * half..4 * half + 4], x);
                let factor = vmulq_n_f32(*scales, input.scales[half]);
                sum = vfmaq_f32(sum, vcvtq_f32_s32(dot), factor);
            }
            if F::SIGNED {
                return sum;
            }
            if !F::SPLIT {
                return vfmaq_n_f32(sum, self.mins[0], input.sum);
            }
            for (half, mins) in self.mins.iter().enumerate() {
                sum = vfmaq_n_f32(sum, *mins, input.half_sums[half]);
            }
        }
        sum
    }
}
