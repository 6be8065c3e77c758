//! 128-bit registers of four words.

use super::lanes::widen_f16;
use crate::packed::Register;
use std::arch::aarch64::*;

impl Register for uint32x4_t {
    const LANES: usize = 4;
    type Floats = float32x4_t;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { vreinterpretq_u32_u8(vld1q_u8(from)) }
    }

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { vdupq_n_u32(word) }
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { vandq_u32(self, other) }
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: by the trait's contract.
        unsafe { vorrq_u32(self, other) }
    }

    #[inline(always)]
    unsafe fn down(self, bits: usize) -> Self {
        // SAFETY: by the trait's contract.
        unsafe {
            let halves = vreinterpretq_u16_u32(self);
            vreinterpretq_u32_u16(vshlq_u16(halves, vdupq_n_s16(-(bits as i16))))
        }
    }

    #[inline(always)]
    unsafe fn up(self, bits: usize) -> Self {
        // SAFETY: by the trait's contract.
        unsafe {
            let halves = vreinterpretq_u16_u32(self);
            vreinterpretq_u32_u16(vshlq_u16(halves, vdupq_n_s16(bits as i16)))
        }
    }

    #[inline(always)]
    unsafe fn spread(self, byte: usize) -> Self {
        // SAFETY: by the trait's contract.
        unsafe {
            let first = byte as u32 * 0x0101_0101;
            let order = [0, 0x0404_0404, 0x0808_0808, 0x0c0c_0c0c].map(|word| word + first);
            let order = vreinterpretq_u8_u32(vld1q_u32(order.as_ptr()));
            vreinterpretq_u32_u8(vqtbl1q_u8(vreinterpretq_u8_u32(self), order))
        }
    }

    #[inline(always)]
    unsafe fn has(self, mask: Self) -> Self {
        // SAFETY: by the trait's contract.
        unsafe {
            let common = vreinterpretq_u8_u32(vandq_u32(self, mask));
            vreinterpretq_u32_u8(vceqq_u8(common, vreinterpretq_u8_u32(mask)))
        }
    }

    #[inline(always)]
    unsafe fn look_up(self, table: &[i8; 16]) -> Self {
        // SAFETY: by the trait's contract.
        unsafe {
            // SAFETY: an array of 16 bytes.
            let table = vld1q_s8(table.as_ptr());
            vreinterpretq_u32_s8(vqtbl1q_s8(table, vreinterpretq_u8_u32(self)))
        }
    }

    #[inline(always)]
    unsafe fn halves(from: *const u8) -> float32x4_t {
        // SAFETY: by the trait's contract.
        unsafe { widen_f16(vreinterpret_u16_u8(vld1_u8(from))) }
    }

    #[inline(always)]
    unsafe fn signed(from: *const u8) -> float32x4_t {
        // SAFETY: by the trait's contract.
        unsafe {
            // SAFETY: by the trait's contract.
            let bytes = vreinterpret_s8_u8(four_bytes(from));
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))))
        }
    }

    #[inline(always)]
    unsafe fn unsigned(from: *const u8, bits: u32, mask: u32) -> float32x4_t {
        // SAFETY: by the trait's contract.
        unsafe {
            // SAFETY: by the trait's contract.
            let wide = widen(four_bytes(from));
            let low = vshlq_u32(wide, vdupq_n_s32(-bits.cast_signed()));
            vcvtq_f32_u32(vandq_u32(low, vdupq_n_u32(mask)))
        }
    }

    #[inline(always)]
    unsafe fn half_powers(from: *const u8) -> float32x4_t {
        // SAFETY: by the trait's contract.
        unsafe {
            // SAFETY: by the trait's contract.
            let exponent = widen(four_bytes(from));
            // Exponents 0 and 1 have no normal half: 2^-128 and 2^-127 are subnormal.
            let normal = vshlq_n_u32::<23>(vsubq_u32(exponent, vdupq_n_u32(1)));
            let small = vshlq_u32(vdupq_n_u32(0x0020_0000), vreinterpretq_s32_u32(exponent));
            let is_small = vcltq_u32(exponent, vdupq_n_u32(2));
            vreinterpretq_f32_u32(vbslq_u32(is_small, small, normal))
        }
    }

    #[inline(always)]
    unsafe fn times(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: by the trait's contract.
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn float(x: f32) -> float32x4_t {
        // SAFETY: by the trait's contract.
        unsafe { vdupq_n_f32(x) }
    }
}

/// Four bytes, twice.
///
/// # Safety
/// They are there.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn four_bytes(from: *const u8) -> uint8x8_t {
    // SAFETY: by the contract.
    vreinterpret_u8_u32(vdup_n_u32(unsafe { from.cast::<u32>().read_unaligned() }))
}

/// The first four bytes as words.
#[inline]
#[target_feature(enable = "neon")]
fn widen(bytes: uint8x8_t) -> uint32x4_t {
    vmovl_u16(vget_low_u16(vmovl_u8(bytes)))
}
