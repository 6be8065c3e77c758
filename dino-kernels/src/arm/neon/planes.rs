//! Four elements of a plane of the cache, whatever their type.

use super::lanes::widen_f16;
use crate::kv::{BLOCK, PAGE};
use crate::packed::Register;
use half::{bf16, f16};
use std::arch::aarch64::*;
use std::marker::PhantomData;

/// A plane as rows of f32 registers.
///
/// What [`hold`](Self::hold) gives serves [`BLOCK`] rows; the elements are those of [`crate::kv::Plane`] to the bit.
pub(super) trait Tile: Copy {
    /// What the elements of 4 columns and [`BLOCK`] rows have in common.
    type Held: Copy;

    /// # Safety
    /// rows from `row`, a multiple of [`BLOCK`], and 4 columns from `column` are in the plane.
    unsafe fn hold(self, row: usize, column: usize) -> Self::Held;

    /// # Safety
    /// As [`hold`](Self::hold)'s, whose result for these columns and this block of rows `held` is.
    unsafe fn load(self, row: usize, column: usize, held: &Self::Held) -> float32x4_t;
}

/// Plain rows.
#[derive(Clone, Copy)]
pub(super) struct Floats<'a, E> {
    pub(super) elements: &'a [E],
    pub(super) columns: usize,
}

impl Tile for Floats<'_, f32> {
    type Held = ();

    #[inline(always)]
    unsafe fn hold(self, _: usize, _: usize) -> Self::Held {}

    #[inline(always)]
    unsafe fn load(self, row: usize, column: usize, (): &()) -> float32x4_t {
        // SAFETY: by the contract.
        unsafe { vld1q_f32(self.elements.as_ptr().add(row * self.columns + column)) }
    }
}

impl Tile for Floats<'_, f16> {
    type Held = ();

    #[inline(always)]
    unsafe fn hold(self, _: usize, _: usize) -> Self::Held {}

    #[inline(always)]
    unsafe fn load(self, row: usize, column: usize, (): &()) -> float32x4_t {
        // SAFETY: by the contract.
        unsafe {
            let from = self.elements.as_ptr().add(row * self.columns + column);
            widen_f16(vld1_u16(from.cast()))
        }
    }
}

/// Rows in pairs: the even one in the low halves of 32-bit words.
impl Tile for Floats<'_, bf16> {
    type Held = ();

    #[inline(always)]
    unsafe fn hold(self, _: usize, _: usize) -> Self::Held {}

    #[inline(always)]
    unsafe fn load(self, row: usize, column: usize, (): &()) -> float32x4_t {
        // SAFETY: by the contract; a pair of rows has twice as many elements.
        unsafe {
            let pair = row / 2 * self.columns + column;
            let words = vld1q_u32(self.elements.as_ptr().add(2 * pair).cast());
            vreinterpretq_f32_u32(if row.is_multiple_of(2) {
                vshlq_n_u32::<16>(words)
            } else {
                vandq_u32(words, vdupq_n_u32(!0xffff))
            })
        }
    }
}

/// Codes with scales.
#[derive(Clone, Copy)]
pub(super) struct Coded<'a, C, S> {
    codes: &'a [u8],
    scales: &'a [f16],
    columns: usize,
    kinds: PhantomData<(C, S)>,
}

impl<'a, C, S> Coded<'a, C, S> {
    pub(super) fn new(codes: &'a [u8], scales: &'a [f16], columns: usize) -> Self {
        Self {
            codes,
            scales,
            columns,
            kinds: PhantomData,
        }
    }
}

impl<C: Code, S: Scaling> Tile for Coded<'_, C, S> {
    type Held = S::Held;

    #[inline(always)]
    unsafe fn hold(self, row: usize, column: usize) -> S::Held {
        // SAFETY: by the contract.
        unsafe { S::hold(self.scales.as_ptr(), row, column) }
    }

    #[inline(always)]
    unsafe fn load(self, row: usize, column: usize, held: &S::Held) -> float32x4_t {
        // SAFETY: by the contract.
        unsafe {
            let code = C::load(self.codes.as_ptr(), row * self.columns + column);
            vmulq_f32(code, S::at(held, row))
        }
    }
}

/// How codes are stored.
pub(super) trait Code: Copy {
    /// The codes of 4 elements from `at` on.
    ///
    /// # Safety
    /// `at` is a multiple of 4, and the elements are there.
    unsafe fn load(codes: *const u8, at: usize) -> float32x4_t;
}

/// Signed bytes.
#[derive(Clone, Copy)]
pub(super) struct Bytes;

impl Code for Bytes {
    #[inline(always)]
    unsafe fn load(codes: *const u8, at: usize) -> float32x4_t {
        // SAFETY: by the contract.
        unsafe { uint32x4_t::signed(codes.add(at)) }
    }
}

/// Nibbles, 8 more than they mean; 32 elements in 16 bytes.
#[derive(Clone, Copy)]
pub(super) struct Nibbles;

impl Code for Nibbles {
    #[inline(always)]
    unsafe fn load(codes: *const u8, at: usize) -> float32x4_t {
        // SAFETY: by the contract.
        unsafe {
            let byte = at / BLOCK * (BLOCK / 2) + at % (BLOCK / 2);
            let shift = if (at / (BLOCK / 2)).is_multiple_of(2) {
                0
            } else {
                4
            };
            let nibbles = uint32x4_t::unsigned(codes.add(byte), shift, 0xf);
            vsubq_f32(nibbles, vdupq_n_f32(8.0))
        }
    }
}

/// Which way scales run.
pub(super) trait Scaling: Copy {
    type Held: Copy;

    /// # Safety
    /// As [`Tile::hold`]'s.
    unsafe fn hold(scales: *const f16, row: usize, column: usize) -> Self::Held;

    /// The scales of 4 elements of `row`.
    ///
    /// # Safety
    /// None needed beyond NEON, which every processor has.
    unsafe fn at(held: &Self::Held, row: usize) -> float32x4_t;
}

/// Keys: 4 positions have 8 scales, the same ones down a block of features.
#[derive(Clone, Copy)]
pub(super) struct OfKeys;

impl Scaling for OfKeys {
    type Held = float32x4_t;

    #[inline(always)]
    unsafe fn hold(scales: *const f16, row: usize, column: usize) -> float32x4_t {
        // SAFETY: by the contract.
        unsafe {
            let from = scales.add(row / BLOCK * PAGE + column);
            widen_f16(vld1_u16(from.cast()))
        }
    }

    #[inline(always)]
    unsafe fn at(held: &float32x4_t, _: usize) -> float32x4_t {
        *held
    }
}

/// Values: 4 features have one scale, another for each position.
#[derive(Clone, Copy)]
pub(super) struct OfValues;

impl Scaling for OfValues {
    type Held = [f32; BLOCK];

    #[inline(always)]
    unsafe fn hold(scales: *const f16, row: usize, column: usize) -> [f32; BLOCK] {
        let mut held = [0.0; BLOCK];
        // SAFETY: by the contract; the array holds eight registers.
        unsafe {
            let from = scales.add(column / BLOCK * PAGE + row);
            for part in (0..BLOCK).step_by(4) {
                let wide = widen_f16(vld1_u16(from.add(part).cast()));
                vst1q_f32(held.as_mut_ptr().add(part), wide);
            }
        }
        held
    }

    #[inline(always)]
    unsafe fn at(held: &[f32; BLOCK], row: usize) -> float32x4_t {
        // SAFETY: every processor has NEON.
        unsafe { vdupq_n_f32(held[row % BLOCK]) }
    }
}
