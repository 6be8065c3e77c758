//! Q6_K: 256 values of 6 bits, 16 to a scale of 8 bits.

use super::planes::{lowered, unpack};
use super::{Block, F16, Quantized, dequantize_groups};
use crate::DType;

/// 256 values `scale * scales[g] * code`, codes from -32 to 31, g = i / 16. 6.5625 bits a value.
///
/// ```text
/// byte 0                            128    192      208     210
///      | low                        | high | scales | scale |
///        nibbles: byte 64 n + l holds bits 0..4 of code + 32 of values 128 n + l (low) and 128 n + 64 + l (high)
///                                     2 bits: byte 32 n + l holds bits 4..6 of code + 32 of
///                                     values 128 n + l, + 32, + 64, + 96 from its low end up
///                                            i8: byte g is group g
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Q6_K {
    /// The lower four bits, two codes a byte.
    pub low: [u8; 128],
    /// The upper two bits, four codes a byte.
    pub high: [u8; 64],
    /// The scale of each group.
    pub scales: [i8; 16],
    /// What the scales are multiplied by.
    pub scale: F16,
}

impl Block for Q6_K {
    const DTYPE: DType = DType::Q6_K;

    fn dequantize(&self, out: &mut [f32]) {
        dequantize_groups(self, out);
    }
}

impl Quantized for Q6_K {
    const GROUP: usize = 16;
    type Codes = [i8; 256];

    fn codes(&self) -> [i8; 256] {
        let low: [u8; 256] = unpack::<4, 64, 256>(&self.low);
        let high: [u8; 256] = unpack::<2, 32, 256>(&self.high);
        lowered(std::array::from_fn(|i| low[i] | high[i] << 4), 32)
    }

    #[inline]
    fn factors(&self, group: usize) -> (f32, f32) {
        let scale = f32::from(self.scales[group]);
        (self.scale.to_f32() * scale, 0.0)
    }
}
