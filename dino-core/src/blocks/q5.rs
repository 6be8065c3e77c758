//! Q5_0 and Q5_1: 32 values of 5 bits under one scale.

use super::planes::{lowered, unpack};
use super::{Block, F16, Quantized, dequantize_groups};
use crate::DType;

/// 32 values `scale * code`, codes from -16 to 15. 5.5 bits a value.
///
/// ```text
/// byte 0       2      6                            22
///      | scale | high | low                        |
///        f16     bit i is bit 4 of code + 16 of value i (little-endian over the 4 bytes)
///                       nibbles: byte i holds bits 0..4 of value i (low) and of value 16 + i (high)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Q5_0 {
    /// What a code of 1 is worth.
    pub scale: F16,
    /// The highest bit of each code.
    pub high: [u8; 4],
    /// The lower four bits, two codes a byte.
    pub low: [u8; 16],
}

/// 32 values `scale * code + min`, codes from 0 to 31. 6 bits a value.
///
/// ```text
/// byte 0       2     4      8                            24
///      | scale | min | high | low                        |
///        f16     f16   as in Q5_0
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Q5_1 {
    /// What a code of 1 is worth.
    pub scale: F16,
    /// The value of code 0. Here it is added; the K formats take theirs away.
    pub min: F16,
    /// The highest bit of each code.
    pub high: [u8; 4],
    /// The lower four bits, two codes a byte.
    pub low: [u8; 16],
}

/// The codes from 0 to 31.
fn five_bits(high: &[u8; 4], low: &[u8; 16]) -> [u8; 32] {
    let high: [u8; 32] = unpack::<1, 1, 32>(high);
    let low: [u8; 32] = unpack::<4, 16, 32>(low);
    std::array::from_fn(|i| low[i] | high[i] << 4)
}

impl Block for Q5_0 {
    const DTYPE: DType = DType::Q5_0;

    fn dequantize(&self, out: &mut [f32]) {
        dequantize_groups(self, out);
    }
}

impl Quantized for Q5_0 {
    const GROUP: usize = 32;
    type Codes = [i8; 32];

    fn codes(&self) -> [i8; 32] {
        lowered(five_bits(&self.high, &self.low), 16)
    }

    #[inline]
    fn factors(&self, group: usize) -> (f32, f32) {
        assert_eq!(group, 0);
        (self.scale.to_f32(), 0.0)
    }
}

impl Block for Q5_1 {
    const DTYPE: DType = DType::Q5_1;

    fn dequantize(&self, out: &mut [f32]) {
        dequantize_groups(self, out);
    }
}

impl Quantized for Q5_1 {
    const GROUP: usize = 32;
    type Codes = [i8; 32];

    fn codes(&self) -> [i8; 32] {
        lowered(five_bits(&self.high, &self.low), 0)
    }

    #[inline]
    fn factors(&self, group: usize) -> (f32, f32) {
        assert_eq!(group, 0);
        (self.scale.to_f32(), -self.min.to_f32())
    }
}
