//! 32 values of 16 rows: how they are unpacked, and what they add to the sum of a token.
//!
//! Panels and single rows go through the same additions in the same order, so that a token's result does not depend on
//! how many others share a pass.

use crate::packed::{Codes, Register};
use crate::quantized::InputBlock;
use std::arch::x86_64::*;

/// Runs the block for each index below a constant of at most eight, without a loop.
///
/// What a loop changes lives in registers only if the compiler unrolls it, and that it does not do for bodies as long as
/// the products of a row.
macro_rules! unrolled {
    ($index:ident < $count:ident, $body:block) => {
        unrolled!(@ $index, $count, $body, 0 1 2 3 4 5 6 7)
    };
    (@ $index:ident, $count:ident, $body:block, $($at:literal)*) => {$(
        if $at < $count {
            let $index = $at;
            $body
        }
    )*};
}
pub(in crate::x86::avx512) use unrolled;

/// Has the compiler finish a row's sum before it begins with the next row.
///
/// Left alone it mixes the instructions of all rows, which the processor does by itself, and runs out of registers.
macro_rules! finish {
    ($sum:expr) => {
        // SAFETY: no instruction is no danger.
        unsafe {
            std::arch::asm!("/* {} */", inout(zmm_reg) $sum, options(nomem, nostack, preserves_flags));
        }
    };
}
pub(super) use finish;

/// Values `32 chunk…` of a group.
pub(super) struct Values {
    /// Unsigned, raised by [`raised`] or 128.
    pub(super) codes: [__m512i; 8],
    /// Of each half; equal unless the format is split.
    pub(super) scales: [__m512; 2],
    /// Of each half; nothing unless the format [`has_minimum`].
    pub(super) mins: [__m512; 2],
}

/// Whether what a format adds to its codes is a number of its own rather than a fixed one.
pub(super) const fn has_minimum<F: Codes>() -> bool {
    !F::SIGNED && F::OFFSET == 0
}

/// How far above their meaning the unsigned codes of a format without minimum are.
///
/// `vpdpbusd` wants unsigned codes, and most formats are symmetric. What codes are raised by is taken off in integers,
/// exactly and for nothing: the sum of products does not start at zero.
pub(super) const fn raised<F: Codes>() -> i32 {
    if F::SIGNED { 128 } else { F::OFFSET }
}

impl Values {
    /// # Safety
    /// AVX-512 is enabled; the pointers are to a block of 16 rows, which has sub-block `sub`.
    #[inline(always)]
    pub(super) unsafe fn unpack<F: Codes>(words: *const u8, head: *const u8, sub: usize) -> Self {
        // SAFETY: by the contract.
        unsafe {
            let mut codes = F::codes::<__m512i>(words, sub);
            if F::SIGNED {
                let up = __m512i::splat(0x8080_8080);
                for code in &mut codes {
                    *code = _mm512_xor_si512(*code, up);
                }
            }
            let scales = F::scales::<__m512i>(head, sub);
            let mins = if has_minimum::<F>() {
                F::mins::<__m512i>(head, sub)
            } else {
                [_mm512_setzero_ps(); 2]
            };
            Self {
                codes,
                scales,
                mins,
            }
        }
    }

    /// The same of codes that are unpacked already, as the format has them, of one without minimum.
    ///
    /// # Safety
    /// AVX-512 is enabled; `head` is that of a block of 16 rows.
    #[inline(always)]
    pub(super) unsafe fn of_codes<F: Codes>(mut codes: [__m512i; 8], head: *const u8) -> Self {
        // SAFETY: by the contract.
        unsafe {
            if F::SIGNED {
                let up = __m512i::splat(0x8080_8080);
                for code in &mut codes {
                    *code = _mm512_xor_si512(*code, up);
                }
            }
            Self {
                codes,
                scales: F::scales::<__m512i>(head, 0),
                mins: [_mm512_setzero_ps(); 2],
            }
        }
    }

    /// Raises codes by 128 in all, where the format has no minimum.
    ///
    /// # Safety
    /// AVX-512 is enabled.
    #[inline(always)]
    pub(super) unsafe fn raise<F: Codes>(&mut self) {
        if has_minimum::<F>() || F::SIGNED {
            return;
        }
        // SAFETY: by the contract.
        unsafe {
            let more = _mm512_set1_epi8((128 - F::OFFSET) as i8);
            for code in &mut self.codes {
                *code = _mm512_add_epi8(*code, more);
            }
        }
    }

    /// Adds the products with a block of one token to `sum`; codes are raised by `raised`.
    ///
    /// # Safety
    /// AVX-512 with VNNI is enabled.
    #[inline(always)]
    pub(super) unsafe fn add<F: Codes>(&self, sum: &mut __m512, input: &InputBlock, raised: i32) {
        // SAFETY: by the contract; eight words are the codes of a block.
        unsafe {
            let mut dots = starts::<F>(input, raised);
            let words = input.codes.as_ptr().cast::<i32>();
            for (word, code) in self.codes.iter().enumerate() {
                let x = _mm512_set1_epi32(words.add(word).read());
                dots[word / 4] = _mm512_dpbusd_epi32(dots[word / 4], *code, x);
            }
            add_products::<F>(sum, dots, self.scales, self.mins, input);
        }
    }
}

/// What the sums of both halves start with, if codes are raised by `raised`.
///
/// # Safety
/// AVX-512 is enabled.
#[inline(always)]
pub(super) unsafe fn starts<F: Codes>(input: &InputBlock, raised: i32) -> [__m512i; 2] {
    // SAFETY: by the contract.
    unsafe {
        let mut starts = [_mm512_setzero_si512(); 2];
        if !has_minimum::<F>() {
            for (start, of_128) in starts.iter_mut().zip(input.starts) {
                let bits = 7 - raised.ilog2() as i32;
                *start = _mm512_sra_epi32(_mm512_set1_epi32(of_128), _mm_cvtsi32_si128(bits));
            }
        }
        starts
    }
}

/// Adds sums of integer products of both halves, times their scales, and the minimum's share.
///
/// # Safety
/// AVX-512 is enabled.
#[inline(always)]
pub(super) unsafe fn add_products<F: Codes>(
    sum: &mut __m512,
    dots: [__m512i; 2],
    scales: [__m512; 2],
    mins: [__m512; 2],
    input: &InputBlock,
) {
    // SAFETY: by the contract.
    unsafe {
        let [first, second] = [
            _mm512_set1_ps(input.scales[0]),
            _mm512_set1_ps(input.scales[1]),
        ];
        let [low, high] = [_mm512_cvtepi32_ps(dots[0]), _mm512_cvtepi32_ps(dots[1])];
        let low = _mm512_mul_ps(low, first);
        if F::SPLIT {
            *sum = _mm512_fmadd_ps(low, scales[0], *sum);
            *sum = _mm512_fmadd_ps(_mm512_mul_ps(high, second), scales[1], *sum);
        } else {
            *sum = _mm512_fmadd_ps(_mm512_fmadd_ps(high, second, low), scales[0], *sum);
        }
        if !has_minimum::<F>() {
            return;
        }
        if F::SPLIT {
            for (min, total) in mins.iter().zip(input.half_sums) {
                *sum = _mm512_fmadd_ps(*min, _mm512_set1_ps(total), *sum);
            }
        } else {
            *sum = _mm512_fmadd_ps(mins[0], _mm512_set1_ps(input.sum), *sum);
        }
    }
}
