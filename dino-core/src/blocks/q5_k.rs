//! Q5_K: 256 values of 5 bits, 32 to a scale and a minimum of 6 bits each.

use super::planes::{lowered, unpack};
use super::{Block, F16, Quantized, SixBitPairs, dequantize_groups};
use crate::DType;

/// 256 values `scale * scales[g] * code - min * mins[g]`, codes from 0 to 31, g = i / 32. 5.5 bits a value.
///
/// ```text
/// byte 0       2     4        16     48                           176
///      | scale | min | scales | high | low                        |
///        f16     f16   drawn at SixBitPairs
///                               bit b of byte l is bit 4 of the code of value 32 b + l
///                                      nibbles: byte 32 n + l holds bits 0..4 of values 64 n + l (low)
///                                      and 64 n + 32 + l (high)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Q5_K {
    /// What the scales are multiplied by.
    pub scale: F16,
    /// What the minimums are multiplied by.
    pub min: F16,
    /// Scale and minimum of each group.
    pub scales: SixBitPairs,
    /// The highest bit of each code, eight codes a byte.
    pub high: [u8; 32],
    /// The lower four bits, two codes a byte.
    pub low: [u8; 128],
}

impl Q5_K {
    /// Scale and minimum of group `group`, each from 0 to 63.
    ///
    /// # Panics
    /// If `group` is not below 8.
    #[inline]
    pub fn scale_min(&self, group: usize) -> (u8, u8) {
        self.scales.get(group)
    }
}

impl Block for Q5_K {
    const DTYPE: DType = DType::Q5_K;

    fn dequantize(&self, out: &mut [f32]) {
        dequantize_groups(self, out);
    }
}

impl Quantized for Q5_K {
    const GROUP: usize = 32;
    type Codes = [i8; 256];

    fn codes(&self) -> [i8; 256] {
        let high: [u8; 256] = unpack::<1, 32, 256>(&self.high);
        let low: [u8; 256] = unpack::<4, 32, 256>(&self.low);
        lowered(std::array::from_fn(|i| low[i] | high[i] << 4), 0)
    }

    #[inline]
    fn factors(&self, group: usize) -> (f32, f32) {
        let (scale, min) = self.scale_min(group);
        (
            self.scale.to_f32() * f32::from(scale),
            self.min.to_f32() * f32::from(min),
        )
    }
}
