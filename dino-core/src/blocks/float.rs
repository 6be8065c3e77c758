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
    pub fn to_f32(self) -> f32 {
        f16::from_le_bytes(self.0).to_f32()
    }
}

impl BF16 {
    /// The nearest bfloat16 of `value`; ties go to the even fraction.
    pub fn from_f32(value: f32) -> Self {
        Self(bf16::from_f32(value).to_le_bytes())
    }

    /// The value, exactly.
    pub fn to_f32(self) -> f32 {
        bf16::from_le_bytes(self.0).to_f32()
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
