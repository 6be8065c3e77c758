//! Layers of floats: four rows a register, four columns a step, up to four tokens.

use super::LANES;
use crate::arm::neon::lanes::{widen_bf16, widen_f16};
use crate::packed::FloatGroup;
use crate::table::FloatTask;
use half::{bf16, f16};
use std::arch::aarch64::*;

/// Columns of a step, each with a sum of its own so that no addition waits for the last. The same for any number of
/// tokens: a row gives the same bits alone and among others.
const STEP: usize = 4;

/// See [`crate::scalar::linear::float`].
#[target_feature(enable = "neon")]
pub(super) fn float(task: &FloatTask<'_>) {
    match task.group {
        FloatGroup::F32(values) => float_as(task, values),
        FloatGroup::F16(values) => float_as(task, values),
        FloatGroup::Bf16(values) => float_as(task, values),
    }
}

#[target_feature(enable = "neon")]
fn float_as<E: Widen>(task: &FloatTask<'_>, weights: &[E]) {
    let tokens = task.output.tokens();
    let mut token = 0;
    while token < tokens {
        token += match tokens - token {
            1 => float_tile::<E, 1>(task, weights, token),
            2 | 3 => float_tile::<E, 2>(task, weights, token),
            _ => float_tile::<E, 4>(task, weights, token),
        };
    }
}

/// One group times `T` tokens; returns `T`.
#[target_feature(enable = "neon")]
fn float_tile<E: Widen, const T: usize>(
    task: &FloatTask<'_>,
    weights: &[E],
    token: usize,
) -> usize {
    let columns = task.columns;
    let input = &task.input[token * columns..(token + T) * columns];
    let (steps, rest) = weights[..columns * LANES].as_chunks::<{ STEP * LANES }>();
    let mut sums = [[vdupq_n_f32(0.0); STEP]; T];
    for (step, weights) in steps.iter().enumerate() {
        // SAFETY: a step holds four registers of weights, and `input` has its columns in each of `T` rows.
        unsafe {
            let mut wide = [vdupq_n_f32(0.0); STEP];
            for (u, wide) in wide.iter_mut().enumerate() {
                *wide = E::widen(weights.as_ptr().add(u * LANES));
            }
            for (t, sums) in sums.iter_mut().enumerate() {
                let x = vld1q_f32(input.as_ptr().add(t * columns + step * STEP));
                sums[0] = vfmaq_laneq_f32::<0>(sums[0], wide[0], x);
                sums[1] = vfmaq_laneq_f32::<1>(sums[1], wide[1], x);
                sums[2] = vfmaq_laneq_f32::<2>(sums[2], wide[2], x);
                sums[3] = vfmaq_laneq_f32::<3>(sums[3], wide[3], x);
            }
        }
    }
    for (u, weights) in rest.chunks_exact(LANES).enumerate() {
        // SAFETY: the slice holds a register.
        let wide = unsafe { E::widen(weights.as_ptr()) };
        for (t, sums) in sums.iter_mut().enumerate() {
            sums[0] = vfmaq_n_f32(sums[0], wide, input[t * columns + steps.len() * STEP + u]);
        }
    }
    for (t, [a, b, c, d]) in sums.into_iter().enumerate() {
        let mut values = [0.0; LANES];
        let sum = vaddq_f32(vaddq_f32(a, b), vaddq_f32(c, d));
        // SAFETY: the array holds a register.
        unsafe { vst1q_f32(values.as_mut_ptr(), sum) };
        // SAFETY: tasks that run at once differ in columns.
        unsafe { task.output.put(token + t, task.first, &values) };
    }
    T
}

/// Stored floats that load as four f32.
trait Widen: Copy {
    /// # Safety
    /// `from` points to four values.
    unsafe fn widen(from: *const Self) -> float32x4_t;
}

impl Widen for f32 {
    #[inline(always)]
    unsafe fn widen(from: *const Self) -> float32x4_t {
        // SAFETY: by the contract.
        unsafe { vld1q_f32(from) }
    }
}

impl Widen for f16 {
    #[inline(always)]
    unsafe fn widen(from: *const Self) -> float32x4_t {
        // SAFETY: by the contract.
        unsafe { widen_f16(vld1_u16(from.cast())) }
    }
}

impl Widen for bf16 {
    #[inline(always)]
    unsafe fn widen(from: *const Self) -> float32x4_t {
        // SAFETY: by the contract.
        unsafe { widen_bf16(vld1_u16(from.cast())) }
    }
}
