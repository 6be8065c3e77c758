//! Sixteen elements of a plane of the cache, whatever their type.

use crate::kv::{BLOCK, PAGE};
use half::{bf16, f16};
use std::arch::x86_64::*;
use std::marker::PhantomData;

/// A plane as rows of f32 registers.
///
/// What [`hold`](Self::hold) gives serves [`BLOCK`] rows; the elements are those of [`crate::kv::Plane`] to the bit.
pub(super) trait Tile: Copy {
    /// What the elements of 16 columns and [`BLOCK`] rows have in common.
    type Held: Copy;

    /// # Safety
    /// AVX-512 is enabled; rows from `row`, a multiple of [`BLOCK`], and 16 columns from `column` are in the plane.
    unsafe fn hold(self, row: usize, column: usize) -> Self::Held;

    /// # Safety
    /// As [`hold`](Self::hold)'s, whose result for these columns and this block of rows `held` is.
    unsafe fn load(self, row: usize, column: usize, held: &Self::Held) -> __m512;
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
    unsafe fn load(self, row: usize, column: usize, (): &()) -> __m512 {
        // SAFETY: by the contract.
        unsafe { _mm512_loadu_ps(self.elements.as_ptr().add(row * self.columns + column)) }
    }
}

impl Tile for Floats<'_, f16> {
    type Held = ();

    #[inline(always)]
    unsafe fn hold(self, _: usize, _: usize) -> Self::Held {}

    #[inline(always)]
    unsafe fn load(self, row: usize, column: usize, (): &()) -> __m512 {
        // SAFETY: by the contract.
        unsafe {
            let from = self.elements.as_ptr().add(row * self.columns + column);
            _mm512_cvtph_ps(_mm256_loadu_si256(from.cast()))
        }
    }
}

/// Rows in pairs: the even one in the low halves of 32-bit words.
impl Tile for Floats<'_, bf16> {
    type Held = ();

    #[inline(always)]
    unsafe fn hold(self, _: usize, _: usize) -> Self::Held {}

    #[inline(always)]
    unsafe fn load(self, row: usize, column: usize, (): &()) -> __m512 {
        // SAFETY: by the contract; a pair of rows has twice as many elements.
        unsafe {
            let pair = row / 2 * self.columns + column;
            let words = _mm512_loadu_si512(self.elements.as_ptr().add(2 * pair).cast());
            _mm512_castsi512_ps(if row.is_multiple_of(2) {
                _mm512_slli_epi32::<16>(words)
            } else {
                _mm512_and_si512(words, _mm512_set1_epi32(!0xffff))
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
    unsafe fn load(self, row: usize, column: usize, held: &S::Held) -> __m512 {
        // SAFETY: by the contract.
        unsafe {
            let code = C::load(self.codes.as_ptr(), row * self.columns + column);
            _mm512_mul_ps(code, S::at(held, row))
        }
    }
}

/// How codes are stored.
pub(super) trait Code: Copy {
    /// The codes of 16 elements from `at` on.
    ///
    /// # Safety
    /// AVX-512 is enabled; `at` is a multiple of 16, and the elements are there.
    unsafe fn load(codes: *const u8, at: usize) -> __m512;
}

/// Signed bytes.
#[derive(Clone, Copy)]
pub(super) struct Bytes;

impl Code for Bytes {
    #[inline(always)]
    unsafe fn load(codes: *const u8, at: usize) -> __m512 {
        // SAFETY: by the contract.
        unsafe {
            let bytes = _mm_loadu_si128(codes.add(at).cast());
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
        }
    }
}

/// Nibbles, 8 more than they mean; 32 elements in 16 bytes.
#[derive(Clone, Copy)]
pub(super) struct Nibbles;

impl Code for Nibbles {
    #[inline(always)]
    unsafe fn load(codes: *const u8, at: usize) -> __m512 {
        // SAFETY: by the contract.
        unsafe {
            let bytes = _mm_loadu_si128(codes.add(at / BLOCK * (BLOCK / 2)).cast());
            let words = _mm512_cvtepu8_epi32(bytes);
            let words = if at.is_multiple_of(BLOCK) {
                words
            } else {
                _mm512_srli_epi32::<4>(words)
            };
            // The permutation looks at the low four bits alone: it is the table look-up and the mask in one.
            let meanings = _mm512_setr_ps(
                -8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0,
                7.0,
            );
            _mm512_permutexvar_ps(words, meanings)
        }
    }
}

/// Which way scales run.
pub(super) trait Scaling: Copy {
    type Held: Copy;

    /// # Safety
    /// As [`Tile::hold`]'s.
    unsafe fn hold(scales: *const f16, row: usize, column: usize) -> Self::Held;

    /// The scales of 16 elements of `row`.
    ///
    /// # Safety
    /// AVX-512 is enabled.
    unsafe fn at(held: &Self::Held, row: usize) -> __m512;
}

/// Keys: 16 positions have 16 scales, the same ones down a block of features.
#[derive(Clone, Copy)]
pub(super) struct OfKeys;

impl Scaling for OfKeys {
    type Held = __m512;

    #[inline(always)]
    unsafe fn hold(scales: *const f16, row: usize, column: usize) -> __m512 {
        // SAFETY: by the contract.
        unsafe {
            let from = scales.add(row / BLOCK * PAGE + column);
            _mm512_cvtph_ps(_mm256_loadu_si256(from.cast()))
        }
    }

    #[inline(always)]
    unsafe fn at(held: &__m512, _: usize) -> __m512 {
        *held
    }
}

/// Values: 16 features have one scale, another for each position.
#[derive(Clone, Copy)]
pub(super) struct OfValues;

impl Scaling for OfValues {
    type Held = [f32; BLOCK];

    #[inline(always)]
    unsafe fn hold(scales: *const f16, row: usize, column: usize) -> [f32; BLOCK] {
        let mut held = [0.0; BLOCK];
        // SAFETY: by the contract; the array holds two registers.
        unsafe {
            let from = scales.add(column / BLOCK * PAGE + row);
            for half in [0, 16] {
                let wide = _mm512_cvtph_ps(_mm256_loadu_si256(from.add(half).cast()));
                _mm512_storeu_ps(held.as_mut_ptr().add(half), wide);
            }
        }
        held
    }

    #[inline(always)]
    unsafe fn at(held: &[f32; BLOCK], row: usize) -> __m512 {
        // SAFETY: AVX-512 is enabled.
        unsafe { _mm512_set1_ps(held[row % BLOCK]) }
    }
}
