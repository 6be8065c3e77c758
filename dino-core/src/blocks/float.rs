//! Floats without blocks: F32, F16, BF16, each little-endian.

use super::Block;
use crate::DType;
use half::{bf16, f16};

/// An IEEE 754 binary32: sign 1, exponent 8, fraction 23 bits.
///
/// ```text
/// byte 0            4
///      | bits       |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct F32(pub [u8; 4]);

/// An IEEE 754 binary16: sign 1, exponent 5, fraction 10 bits. Also the scale inside most blocks.
///
/// ```text
/// byte 0      2
///      | bits |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct F16(pub [u8; 2]);

/// The upper half of a binary32: sign 1, exponent 8, fraction 7 bits.
///
/// ```text
/// byte 0      2
///      | bits |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct BF16(pub [u8; 2]);

impl F16 {
    /// The nearest half of `value`; ties go to the even fraction.
    pub fn from_f32(value: f32) -> Self {
        Self(f16::from_f32(value).to_le_bytes())
    }

    /// The value, exactly.
    ///
    /// Every block needs it, so it must inline and vectorise, which a test of the processor at each call prevents.
    #[inline]
    pub fn to_f32(self) -> f32 {
        const TWO_TO_112: f32 = f32::from_bits((127 + 112) << 23);
        let bits = u32::from(u16::from_le_bytes(self.0));
        // Moved to the fields of an f32, a number is 2^112 too small, subnormal or not: its exponent counts
        // from 15 and not from 127. Infinity and NaN have all bits of the exponent set in both formats.
        let magnitude = f32::from_bits((bits & 0x7fff) << 13) * TWO_TO_112;
        let special = if bits & 0x7c00 == 0x7c00 {
            0x7f80_0000
        } else {
            0
        };
        f32::from_bits(magnitude.to_bits() | special | (bits & 0x8000) << 16)
    }
}

impl BF16 {
    /// The nearest bfloat16 of `value`; ties go to the even fraction.
    pub fn from_f32(value: f32) -> Self {
        Self(bf16::from_f32(value).to_le_bytes())
    }

    /// The value, exactly.
    #[inline]
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes(self.0)) << 16)
    }
}

impl Block for F32 {
    const DTYPE: DType = DType::F32;

    fn dequantize(&self, out: &mut [f32]) {
        out.copy_from_slice(&[f32::from_le_bytes(self.0)]);
    }
}

impl Block for F16 {
    const DTYPE: DType = DType::F16;

    fn dequantize(&self, out: &mut [f32]) {
        out.copy_from_slice(&[self.to_f32()]);
    }
}

impl Block for BF16 {
    const DTYPE: DType = DType::BF16;

    fn dequantize(&self, out: &mut [f32]) {
        out.copy_from_slice(&[self.to_f32()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_what_the_half_crate_says() {
        for bits in 0..=u16::MAX {
            let (found, expected) = (
                F16(bits.to_le_bytes()).to_f32(),
                f16::from_bits(bits).to_f32(),
            );
            let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(same, "half {bits:#06x}: {found:e}, expected {expected:e}");
            let (found, expected) = (
                BF16(bits.to_le_bytes()).to_f32(),
                bf16::from_bits(bits).to_f32(),
            );
            let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(same, "bfloat {bits:#06x}: {found:e}, expected {expected:e}");
        }
    }
}
