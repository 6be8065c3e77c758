//! Q2_K: 256 values of 2 bits, 16 to a scale and a minimum of 4 bits each.

use super::planes::{lowered, unpack};
use super::{Block, F16, Quantized, dequantize_groups};
use crate::DType;

/// 256 values `scale * scales[g] * code - min * mins[g]`, codes from 0 to 3, g = i / 16. 2.625 bits a value.
///
/// ```text
/// byte 0        16                           80      82    84
///      | scales | codes                      | scale | min |
///        byte g: scale of group g in the low nibble, its minimum in the high one
///                 2 bits: byte 32 n + l holds values 128 n + l, + 32, + 64, + 96 from its low end up
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Q2_K {
    /// Scale (low nibble) and minimum (high nibble) of each group.
    pub scales: [u8; 16],
    /// Four codes a byte.
    pub codes: [u8; 64],
    /// What the scales are multiplied by.
    pub scale: F16,
    /// What the minimums are multiplied by.
    pub min: F16,
}

impl Q2_K {
    /// Scale and minimum of group `group`, each from 0 to 15.
    ///
    /// # Panics
    /// If `group` is not below 16.
    #[inline]
    pub fn scale_min(&self, group: usize) -> (u8, u8) {
        let pair = self.scales[group];
        (pair & 15, pair >> 4)
    }
}

impl Block for Q2_K {
    const DTYPE: DType = DType::Q2_K;

    fn dequantize(&self, out: &mut [f32]) {
        dequantize_groups(self, out);
    }
}

impl Quantized for Q2_K {
    const GROUP: usize = 16;
    type Codes = [i8; 256];

    fn codes(&self) -> [i8; 256] {
        lowered(unpack::<2, 32, 256>(&self.codes), 0)
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
