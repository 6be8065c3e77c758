//! IQ4_NL and IQ4_XS: 4 bits that choose from a codebook denser around zero.

use super::planes::unpack;
use super::{Block, F16, Quantized, dequantize_groups};
use crate::DType;

/// The codebook of both formats (`kvalues_iq4nl` of ggml).
pub const IQ4_VALUES: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// 32 values `scale * IQ4_VALUES[index]`. 4.5 bits a value.
///
/// ```text
/// byte 0       2                            18
///      | scale | indices                    |
///        f16     nibbles: byte i holds value i (low) and value 16 + i (high)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct IQ4_NL {
    /// What a codebook value of 1 is worth.
    pub scale: F16,
    /// Two indices a byte.
    pub indices: [u8; 16],
}

/// 256 values `scale * scales[g] * IQ4_VALUES[index]`, g = i / 32. 4.25 bits a value.
///
/// ```text
/// byte 0       2             4            8                            136
///      | scale | scales_high | scales_low | indices                    |
///        f16     bits 2 g, 2 g + 1 (little-endian over both bytes) are bits 4..6 of scale + 32 of group g
///                              nibbles: byte b holds bits 0..4 of scale + 32 of groups 2 b (low), 2 b + 1 (high)
///                                           nibbles: byte 16 g + l holds values 32 g + l (low)
///                                           and 32 g + 16 + l (high)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct IQ4_XS {
    /// What the scales are multiplied by.
    pub scale: F16,
    /// The upper two bits of the scales of the groups, four a byte.
    pub scales_high: [u8; 2],
    /// The lower four bits of the scales, two a byte.
    pub scales_low: [u8; 4],
    /// Two indices a byte.
    pub indices: [u8; 128],
}

impl IQ4_XS {
    /// The scale of group `group`, from -32 to 31.
    ///
    /// # Panics
    /// If `group` is not below 8.
    #[inline]
    pub fn group_scale(&self, group: usize) -> i8 {
        let low = self.scales_low[group / 2] >> (group % 2 * 4) & 15;
        let high = self.scales_high[group / 4] >> (group % 4 * 2) & 3;
        (low | high << 4) as i8 - 32
    }
}

impl Block for IQ4_NL {
    const DTYPE: DType = DType::IQ4_NL;

    fn dequantize(&self, out: &mut [f32]) {
        dequantize_groups(self, out);
    }
}

impl Quantized for IQ4_NL {
    const GROUP: usize = 32;
    type Codes = [i8; 32];

    fn codes(&self) -> [i8; 32] {
        unpack::<4, 16, 32>(&self.indices).map(|index| IQ4_VALUES[usize::from(index)])
    }

    #[inline]
    fn factors(&self, group: usize) -> (f32, f32) {
        assert_eq!(group, 0);
        (self.scale.to_f32(), 0.0)
    }
}

impl Block for IQ4_XS {
    const DTYPE: DType = DType::IQ4_XS;

    fn dequantize(&self, out: &mut [f32]) {
        dequantize_groups(self, out);
    }
}

impl Quantized for IQ4_XS {
    const GROUP: usize = 32;
    type Codes = [i8; 256];

    fn codes(&self) -> [i8; 256] {
        unpack::<4, 16, 256>(&self.indices).map(|index| IQ4_VALUES[usize::from(index)])
    }

    #[inline]
    fn factors(&self, group: usize) -> (f32, f32) {
        let scale = f32::from(self.group_scale(group));
        (self.scale.to_f32() * scale, 0.0)
    }
}
