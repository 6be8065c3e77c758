//! Q4_K: 256 values of 4 bits, 32 to a scale and a minimum of 6 bits each.

use super::planes::{lowered, unpack};
use super::{Block, F16, Quantized, SixBitPairs, dequantize_groups};
use crate::DType;

/// 256 values `scale * scales[g] * code - min * mins[g]`, codes from 0 to 15, g = i / 32. 4.5 bits a value.
///
/// ```text
/// byte 0       2     4        16                           144
///      | scale | min | scales | codes                      |
///        f16     f16   drawn at SixBitPairs
///                               nibbles: byte 32 n + l holds values 64 n + l (low) and 64 n + 32 + l (high)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Q4_K {
    /// What the scales are multiplied by.
    pub scale: F16,
    /// What the minimums are multiplied by.
    pub min: F16,
    /// Scale and minimum of each group.
    pub scales: SixBitPairs,
    /// Two codes a byte.
    pub codes: [u8; 128],
}

impl Q4_K {
    /// Scale and minimum of group `group`, each from 0 to 63.
    ///
    /// # Panics
    /// If `group` is not below 8.
    #[inline]
    pub fn scale_min(&self, group: usize) -> (u8, u8) {
        self.scales.get(group)
    }
}

impl Block for Q4_K {
    const DTYPE: DType = DType::Q4_K;

    fn dequantize(&self, out: &mut [f32]) {
        dequantize_groups(self, out);
    }
}

impl Quantized for Q4_K {
    const GROUP: usize = 32;
    type Codes = [i8; 256];

    fn codes(&self) -> [i8; 256] {
        lowered(unpack::<4, 32, 256>(&self.codes), 0)
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
