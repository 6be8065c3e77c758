//! Q4_0 and Q4_1: 32 values of 4 bits under one scale.

use super::planes::{lowered, unpack};
use super::{Block, F16, Quantized, dequantize_groups};
use crate::DType;

/// 32 values `scale * code`, codes from -8 to 7. 4.5 bits a value.
///
/// ```text
/// byte 0       2                            18
///      | scale | codes                      |
///        f16     nibbles: byte i holds value i (low) and value 16 + i (high), stored as code + 8
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Q4_0 {
    /// What a code of 1 is worth.
    pub scale: F16,
    /// Two codes a byte, each raised by 8.
    pub codes: [u8; 16],
}

/// 32 values `scale * code + min`, codes from 0 to 15. 5 bits a value.
///
/// ```text
/// byte 0       2     4                            20
///      | scale | min | codes                      |
///        f16     f16   nibbles: byte i holds value i (low) and value 16 + i (high)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Q4_1 {
    /// What a code of 1 is worth.
    pub scale: F16,
    /// The value of code 0. Here it is added; the K formats take theirs away.
    pub min: F16,
    /// Two codes a byte.
    pub codes: [u8; 16],
}

impl Block for Q4_0 {
    const DTYPE: DType = DType::Q4_0;

    fn dequantize(&self, out: &mut [f32]) {
        dequantize_groups(self, out);
    }
}

impl Quantized for Q4_0 {
    const GROUP: usize = 32;
    type Codes = [i8; 32];

    fn codes(&self) -> [i8; 32] {
        lowered(unpack::<4, 16, 32>(&self.codes), 8)
    }

    #[inline]
    fn factors(&self, group: usize) -> (f32, f32) {
        assert_eq!(group, 0);
        (self.scale.to_f32(), 0.0)
    }
}

impl Block for Q4_1 {
    const DTYPE: DType = DType::Q4_1;

    fn dequantize(&self, out: &mut [f32]) {
        dequantize_groups(self, out);
    }
}

impl Quantized for Q4_1 {
    const GROUP: usize = 32;
    type Codes = [i8; 32];

    fn codes(&self) -> [i8; 32] {
        lowered(unpack::<4, 16, 32>(&self.codes), 0)
    }

    #[inline]
    fn factors(&self, group: usize) -> (f32, f32) {
        assert_eq!(group, 0);
        (self.scale.to_f32(), -self.min.to_f32())
    }
}
