//! 512-bit registers of sixteen words.

use crate::packed::Register;
use std::arch::x86_64::*;

impl Register for __m512i {
    const LANES: usize = 16;
    type Floats = __m512;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { _mm512_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { _mm512_and_si512(self, other) }
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { _mm512_or_si512(self, other) }
    }

    #[inline(always)]
    unsafe fn down(self, bits: usize) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { _mm512_srl_epi16(self, _mm_cvtsi32_si128(bits as i32)) }
    }

    #[inline(always)]
    unsafe fn up(self, bits: usize) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { _mm512_sll_epi16(self, _mm_cvtsi32_si128(bits as i32)) }
    }

    #[inline(always)]
    unsafe fn spread(self, byte: usize) -> Self {
        // SAFETY: by the trait's contract.
        unsafe {
            let first = byte as i32 * 0x0101_0101;
            let order = _mm_setr_epi32(
                first,
                first + 0x0404_0404,
                first + 0x0808_0808,
                first + 0x0c0c_0c0c,
            );
            _mm512_shuffle_epi8(self, _mm512_broadcast_i32x4(order))
        }
    }

    #[inline(always)]
    unsafe fn has(self, mask: Self) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { _mm512_movm_epi8(_mm512_cmpeq_epi8_mask(_mm512_and_si512(self, mask), mask)) }
    }

    #[inline(always)]
    unsafe fn look_up(self, table: &[i8; 16]) -> Self {
        // SAFETY: by the trait's contract.
        unsafe {
            let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
            _mm512_shuffle_epi8(table, self)
        }
    }

    #[inline(always)]
    unsafe fn halves(from: *const u8) -> __m512 {
        // SAFETY: by the trait's contract.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn signed(from: *const u8) -> __m512 {
        // SAFETY: by the trait's contract.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn unsigned(from: *const u8, bits: u32, mask: u32) -> __m512 {
        // SAFETY: by the trait's contract.
        unsafe {
            let wide = _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()));
            let low = _mm512_srl_epi32(wide, _mm_cvtsi32_si128(bits as i32));
            _mm512_cvtepi32_ps(low.and(Self::splat(mask)))
        }
    }

    #[inline(always)]
    unsafe fn half_powers(from: *const u8) -> __m512 {
        // SAFETY: by the trait's contract.
        unsafe {
            let exponent = _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()));
            // Exponents 0 and 1 have no normal half: 2^-128 and 2^-127 are subnormal.
            let normal = _mm512_slli_epi32::<23>(_mm512_sub_epi32(exponent, Self::splat(1)));
            let small = _mm512_sllv_epi32(Self::splat(0x0020_0000), exponent);
            let is_small = _mm512_cmplt_epi32_mask(exponent, Self::splat(2));
            _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, is_small, small))
        }
    }

    #[inline(always)]
    unsafe fn times(a: __m512, b: __m512) -> __m512 {
        // SAFETY: by the trait's contract.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn float(x: f32) -> __m512 {
        // SAFETY: by the trait's contract.
        unsafe { _mm512_set1_ps(x) }
    }
}
