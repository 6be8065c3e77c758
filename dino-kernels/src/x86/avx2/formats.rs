//! Codes, scales and minimums of each format in 256-bit registers.

use crate::packed::*;
use dino_core::blocks::{IQ4_VALUES, MXFP4_VALUES};
use std::arch::x86_64::*;

const LANES: usize = 8;

/// A format as the AVX2 kernels read it: the vector form of [`Format::decode`].
pub(crate) trait Codes: Format {
    /// The eight words of sub-block `sub` for 8 rows.
    ///
    /// # Safety
    /// AVX2 is enabled; `words` points to a block's words.
    unsafe fn codes(words: *const u8, sub: usize) -> [__m256i; 8];

    /// The scales of both halves of sub-block `sub`.
    ///
    /// # Safety
    /// AVX2 and F16C are enabled; `head` points to a block's head.
    unsafe fn scales(head: *const u8, sub: usize) -> [__m256; 2];

    /// The minimums of both halves, offsets included; zero for signed formats.
    ///
    /// # Safety
    /// As for [`Codes::scales`].
    unsafe fn mins(head: *const u8, sub: usize) -> [__m256; 2];
}

/// Plane `index` of f16 numbers.
#[inline(always)]
unsafe fn half_plane(head: *const u8, index: usize) -> __m256 {
    // SAFETY: the caller's head has this plane.
    unsafe { _mm256_cvtph_ps(_mm_loadu_si128(head.add(2 * LANES * index).cast())) }
}

/// Plane `index` of bytes, after `halves` planes of f16, as signed integers.
#[inline(always)]
unsafe fn signed_plane(head: *const u8, halves: usize, index: usize) -> __m256 {
    // SAFETY: the caller's head has this plane.
    unsafe {
        let bytes = _mm_loadl_epi64(head.add(LANES * (2 * halves + index)).cast());
        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))
    }
}

/// Plane `index` of bytes, after `halves` planes of f16, as unsigned integers.
#[inline(always)]
unsafe fn unsigned_plane(head: *const u8, halves: usize, index: usize) -> __m256i {
    // SAFETY: the caller's head has this plane.
    unsafe {
        let bytes = _mm_loadl_epi64(head.add(LANES * (2 * halves + index)).cast());
        _mm256_cvtepu8_epi32(bytes)
    }
}

#[inline(always)]
unsafe fn word(words: *const u8, index: usize) -> __m256i {
    // SAFETY: the caller's block has this word.
    unsafe { _mm256_loadu_si256(words.add(4 * LANES * index).cast()) }
}

/// Eight words of nibbles, low ones first, from the four words at `first`.
#[inline(always)]
unsafe fn nibbles(words: *const u8, first: usize) -> [__m256i; 8] {
    // SAFETY: the caller's block has these words.
    unsafe {
        let mask = _mm256_set1_epi8(0x0f);
        std::array::from_fn(|g| {
            let both = word(words, first + g % 4);
            let shifted = if g < 4 {
                both
            } else {
                _mm256_srli_epi16::<4>(both)
            };
            _mm256_and_si256(shifted, mask)
        })
    }
}

/// Eight words of `(word >> shift) & mask` from the eight words at `first`.
#[inline(always)]
unsafe fn shifted(words: *const u8, first: usize, shift: usize, mask: u8) -> [__m256i; 8] {
    // SAFETY: the caller's block has these words.
    unsafe {
        let count = _mm_cvtsi32_si128(shift as i32);
        let mask = _mm256_set1_epi8(mask as i8);
        std::array::from_fn(|j| {
            _mm256_and_si256(_mm256_srl_epi16(word(words, first + j), count), mask)
        })
    }
}

/// `low | high << BY`, word by word.
#[inline(always)]
unsafe fn join<const BY: i32>(low: [__m256i; 8], high: [__m256i; 8]) -> [__m256i; 8] {
    // SAFETY: AVX2 is enabled where the caller runs.
    unsafe { std::array::from_fn(|j| _mm256_or_si256(low[j], _mm256_slli_epi16::<BY>(high[j]))) }
}

/// Nibbles as indices into a table of 16 values.
#[inline(always)]
unsafe fn looked_up(nibbles: [__m256i; 8], table: &[i8; 16]) -> [__m256i; 8] {
    // SAFETY: AVX2 is enabled where the caller runs; the table holds 16 bytes.
    unsafe {
        let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
        nibbles.map(|index| _mm256_shuffle_epi8(table, index))
    }
}

/// `-offset * scale`: the minimum of a format that subtracts an offset from its codes.
#[inline(always)]
unsafe fn below(scales: [__m256; 2], offset: f32) -> [__m256; 2] {
    // SAFETY: AVX2 is enabled where the caller runs.
    unsafe { scales.map(|scale| _mm256_mul_ps(scale, _mm256_set1_ps(-offset))) }
}

impl Codes for Q4_0 {
    #[inline(always)]
    unsafe fn codes(words: *const u8, _: usize) -> [__m256i; 8] {
        // SAFETY: by the contract.
        unsafe { nibbles(words, 0) }
    }
    #[inline(always)]
    unsafe fn scales(head: *const u8, _: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { [half_plane(head, 0); 2] }
    }
    #[inline(always)]
    unsafe fn mins(head: *const u8, sub: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { below(Self::scales(head, sub), 8.0) }
    }
}

impl Codes for Q4_1 {
    #[inline(always)]
    unsafe fn codes(words: *const u8, _: usize) -> [__m256i; 8] {
        // SAFETY: by the contract.
        unsafe { nibbles(words, 0) }
    }
    #[inline(always)]
    unsafe fn scales(head: *const u8, _: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { [half_plane(head, 0); 2] }
    }
    #[inline(always)]
    unsafe fn mins(head: *const u8, _: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { [half_plane(head, 1); 2] }
    }
}

/// Nibbles joined with the fifth bits, of which word 0 holds all 32 of a row.
#[inline(always)]
unsafe fn five_bits(words: *const u8) -> [__m256i; 8] {
    // SAFETY: the caller's block has these words.
    unsafe {
        let fifths = word(words, 0);
        let low = nibbles(words, 1);
        let bit = _mm256_set1_epi8(0x10);
        std::array::from_fn(|g| {
            // Copies of the byte that holds bits 4g…4g+3 of a row, each tested for one of them.
            let byte = (g / 2) as i32 * 0x0101_0101;
            let spread = _mm256_setr_epi32(
                byte,
                byte + 0x0404_0404,
                byte + 0x0808_0808,
                byte + 0x0c0c_0c0c,
                byte,
                byte + 0x0404_0404,
                byte + 0x0808_0808,
                byte + 0x0c0c_0c0c,
            );
            let test = if g % 2 == 0 {
                0x0804_0201
            } else {
                0x8040_2010_u32 as i32
            };
            let test = _mm256_set1_epi32(test);
            let bytes = _mm256_shuffle_epi8(fifths, spread);
            let set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, test), test);
            _mm256_or_si256(low[g], _mm256_and_si256(set, bit))
        })
    }
}

impl Codes for Q5_0 {
    #[inline(always)]
    unsafe fn codes(words: *const u8, _: usize) -> [__m256i; 8] {
        // SAFETY: by the contract.
        unsafe { five_bits(words) }
    }
    #[inline(always)]
    unsafe fn scales(head: *const u8, _: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { [half_plane(head, 0); 2] }
    }
    #[inline(always)]
    unsafe fn mins(head: *const u8, sub: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { below(Self::scales(head, sub), 16.0) }
    }
}

impl Codes for Q5_1 {
    #[inline(always)]
    unsafe fn codes(words: *const u8, _: usize) -> [__m256i; 8] {
        // SAFETY: by the contract.
        unsafe { five_bits(words) }
    }
    #[inline(always)]
    unsafe fn scales(head: *const u8, _: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { [half_plane(head, 0); 2] }
    }
    #[inline(always)]
    unsafe fn mins(head: *const u8, _: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { [half_plane(head, 1); 2] }
    }
}

impl Codes for Q8_0 {
    #[inline(always)]
    unsafe fn codes(words: *const u8, _: usize) -> [__m256i; 8] {
        // SAFETY: by the contract.
        unsafe { std::array::from_fn(|g| word(words, g)) }
    }
    #[inline(always)]
    unsafe fn scales(head: *const u8, _: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { [half_plane(head, 0); 2] }
    }
    #[inline(always)]
    unsafe fn mins(_: *const u8, _: usize) -> [__m256; 2] {
        // SAFETY: AVX2 is enabled by the contract.
        unsafe { [_mm256_setzero_ps(); 2] }
    }
}

impl Codes for Iq4Nl {
    #[inline(always)]
    unsafe fn codes(words: *const u8, _: usize) -> [__m256i; 8] {
        // SAFETY: by the contract.
        unsafe { looked_up(nibbles(words, 0), &IQ4_VALUES) }
    }
    #[inline(always)]
    unsafe fn scales(head: *const u8, _: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { [half_plane(head, 0); 2] }
    }
    #[inline(always)]
    unsafe fn mins(_: *const u8, _: usize) -> [__m256; 2] {
        // SAFETY: AVX2 is enabled by the contract.
        unsafe { [_mm256_setzero_ps(); 2] }
    }
}

impl Codes for Mxfp4 {
    #[inline(always)]
    unsafe fn codes(words: *const u8, _: usize) -> [__m256i; 8] {
        // SAFETY: by the contract.
        unsafe { looked_up(nibbles(words, 0), &MXFP4_VALUES) }
    }
    #[inline(always)]
    unsafe fn scales(head: *const u8, _: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe {
            // Half of 2^(e - 127): exponent e - 1, or a subnormal where there is none.
            let exponent = unsigned_plane(head, 0, 0);
            let normal = _mm256_slli_epi32::<23>(_mm256_sub_epi32(exponent, _mm256_set1_epi32(1)));
            let small = _mm256_sllv_epi32(_mm256_set1_epi32(0x0020_0000), exponent);
            let is_small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), exponent);
            [_mm256_castsi256_ps(_mm256_blendv_epi8(normal, small, is_small)); 2]
        }
    }
    #[inline(always)]
    unsafe fn mins(_: *const u8, _: usize) -> [__m256; 2] {
        // SAFETY: AVX2 is enabled by the contract.
        unsafe { [_mm256_setzero_ps(); 2] }
    }
}

impl Codes for Q2K {
    #[inline(always)]
    unsafe fn codes(words: *const u8, sub: usize) -> [__m256i; 8] {
        // SAFETY: by the contract.
        unsafe { shifted(words, sub / 4 * 8, 2 * (sub % 4), 3) }
    }
    #[inline(always)]
    unsafe fn scales(head: *const u8, sub: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe {
            let scale = half_plane(head, 0);
            [0, 1].map(|side| {
                let packed = unsigned_plane(head, 2, 2 * sub + side);
                let low = _mm256_and_si256(packed, _mm256_set1_epi32(0x0f));
                _mm256_mul_ps(scale, _mm256_cvtepi32_ps(low))
            })
        }
    }
    #[inline(always)]
    unsafe fn mins(head: *const u8, sub: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe {
            let scale = _mm256_sub_ps(_mm256_setzero_ps(), half_plane(head, 1));
            [0, 1].map(|side| {
                let high = _mm256_srli_epi32::<4>(unsigned_plane(head, 2, 2 * sub + side));
                _mm256_mul_ps(scale, _mm256_cvtepi32_ps(high))
            })
        }
    }
}

/// d times the two signed scales of a sub-block.
#[inline(always)]
unsafe fn signed_scales(head: *const u8, sub: usize) -> [__m256; 2] {
    // SAFETY: the caller's head has these planes.
    unsafe {
        let scale = half_plane(head, 0);
        [0, 1].map(|side| _mm256_mul_ps(scale, signed_plane(head, 1, 2 * sub + side)))
    }
}

impl Codes for Q3K {
    #[inline(always)]
    unsafe fn codes(words: *const u8, sub: usize) -> [__m256i; 8] {
        // SAFETY: by the contract.
        unsafe {
            let low = shifted(words, 8 + sub / 4 * 8, 2 * (sub % 4), 3);
            join::<2>(low, shifted(words, 0, sub, 1))
        }
    }
    #[inline(always)]
    unsafe fn scales(head: *const u8, sub: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { signed_scales(head, sub) }
    }
    #[inline(always)]
    unsafe fn mins(head: *const u8, sub: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { below(signed_scales(head, sub), 4.0) }
    }
}

/// The scale of Q4_K and Q5_K: d times a small integer.
#[inline(always)]
unsafe fn affine_scales(head: *const u8, sub: usize) -> [__m256; 2] {
    // SAFETY: the caller's head has these planes.
    unsafe {
        let small = _mm256_cvtepi32_ps(unsigned_plane(head, 2, sub));
        [_mm256_mul_ps(half_plane(head, 0), small); 2]
    }
}

/// The minimum of Q4_K and Q5_K: -dmin times a small integer.
#[inline(always)]
unsafe fn affine_mins(head: *const u8, sub: usize) -> [__m256; 2] {
    // SAFETY: the caller's head has these planes.
    unsafe {
        let small = _mm256_cvtepi32_ps(unsigned_plane(head, 2, 8 + sub));
        let scale = _mm256_sub_ps(_mm256_setzero_ps(), half_plane(head, 1));
        [_mm256_mul_ps(scale, small); 2]
    }
}

impl Codes for Q4K {
    #[inline(always)]
    unsafe fn codes(words: *const u8, sub: usize) -> [__m256i; 8] {
        // SAFETY: by the contract.
        unsafe { shifted(words, sub / 2 * 8, 4 * (sub % 2), 0x0f) }
    }
    #[inline(always)]
    unsafe fn scales(head: *const u8, sub: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { affine_scales(head, sub) }
    }
    #[inline(always)]
    unsafe fn mins(head: *const u8, sub: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { affine_mins(head, sub) }
    }
}

impl Codes for Q5K {
    #[inline(always)]
    unsafe fn codes(words: *const u8, sub: usize) -> [__m256i; 8] {
        // SAFETY: by the contract.
        unsafe {
            let low = shifted(words, 8 + sub / 2 * 8, 4 * (sub % 2), 0x0f);
            join::<4>(low, shifted(words, 0, sub, 1))
        }
    }
    #[inline(always)]
    unsafe fn scales(head: *const u8, sub: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { affine_scales(head, sub) }
    }
    #[inline(always)]
    unsafe fn mins(head: *const u8, sub: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { affine_mins(head, sub) }
    }
}

impl Codes for Q6K {
    #[inline(always)]
    unsafe fn codes(words: *const u8, sub: usize) -> [__m256i; 8] {
        // SAFETY: by the contract.
        unsafe {
            let (part, quarter) = (sub / 4, sub % 4);
            let low = shifted(words, part * 16 + quarter % 2 * 8, quarter / 2 * 4, 0x0f);
            join::<4>(low, shifted(words, 32 + part * 8, 2 * quarter, 3))
        }
    }
    #[inline(always)]
    unsafe fn scales(head: *const u8, sub: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { signed_scales(head, sub) }
    }
    #[inline(always)]
    unsafe fn mins(head: *const u8, sub: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { below(signed_scales(head, sub), 32.0) }
    }
}

impl Codes for Iq4Xs {
    #[inline(always)]
    unsafe fn codes(words: *const u8, sub: usize) -> [__m256i; 8] {
        // SAFETY: by the contract.
        unsafe { looked_up(nibbles(words, 4 * sub), &IQ4_VALUES) }
    }
    #[inline(always)]
    unsafe fn scales(head: *const u8, sub: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { [_mm256_mul_ps(half_plane(head, 0), signed_plane(head, 1, sub)); 2] }
    }
    #[inline(always)]
    unsafe fn mins(_: *const u8, _: usize) -> [__m256; 2] {
        // SAFETY: AVX2 is enabled by the contract.
        unsafe { [_mm256_setzero_ps(); 2] }
    }
}
