//! 256-bit registers of eight words.

use crate::packed::Register;
use std::arch::x86_64::*;

impl Register for __m256i {
    const LANES: usize = 8;
    type Floats = __m256;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { _mm256_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { _mm256_and_si256(self, other) }
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { _mm256_or_si256(self, other) }
    }

    #[inline(always)]
    unsafe fn down(self, bits: usize) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { _mm256_srl_epi16(self, _mm_cvtsi32_si128(bits as i32)) }
    }

    #[inline(always)]
    unsafe fn up(self, bits: usize) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { _mm256_sll_epi16(self, _mm_cvtsi32_si128(bits as i32)) }
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
            _mm256_shuffle_epi8(self, _mm256_broadcastsi128_si256(order))
        }
    }

    #[inline(always)]
    unsafe fn has(self, mask: Self) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { _mm256_cmpeq_epi8(_mm256_and_si256(self, mask), mask) }
    }

    #[inline(always)]
    unsafe fn look_up(self, table: &[i8; 16]) -> Self {
        // SAFETY: by the trait's contract.
        unsafe {
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
            _mm256_shuffle_epi8(table, self)
        }
    }

    #[inline(always)]
    unsafe fn halves(from: *const u8) -> __m256 {
        // SAFETY: by the trait's contract.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn signed(from: *const u8) -> __m256 {
        // SAFETY: by the trait's contract.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn unsigned(from: *const u8, bits: u32, mask: u32) -> __m256 {
        // SAFETY: by the trait's contract.
        unsafe {
            let wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()));
            let low = _mm256_srl_epi32(wide, _mm_cvtsi32_si128(bits as i32));
            _mm256_cvtepi32_ps(low.and(Self::splat(mask)))
        }
    }

    #[inline(always)]
    unsafe fn half_powers(from: *const u8) -> __m256 {
        // SAFETY: by the trait's contract.
        unsafe {
            let exponent = _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()));
            // Exponents 0 and 1 have no normal half: 2^-128 and 2^-127 are subnormal.
            let normal = _mm256_slli_epi32::<23>(_mm256_sub_epi32(exponent, Self::splat(1)));
            let small = _mm256_sllv_epi32(Self::splat(0x0020_0000), exponent);
            let is_small = _mm256_cmpgt_epi32(Self::splat(2), exponent);
            _mm256_castsi256_ps(_mm256_blendv_epi8(normal, small, is_small))
        }
    }

    #[inline(always)]
    unsafe fn times(a: __m256, b: __m256) -> __m256 {
        // SAFETY: by the trait's contract.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn float(x: f32) -> __m256 {
        // SAFETY: by the trait's contract.
        unsafe { _mm256_set1_ps(x) }
    }
}
