//! Q3_K: 256 values of 3 bits, 16 to a scale of 6 bits.

use super::planes::{lowered, unpack};
use super::{Block, F16, Quantized, dequantize_groups};
use crate::DType;

/// 256 values `scale * scales[g] * code`, codes from -4 to 3, g = i / 16. 3.4375 bits a value.
///
/// ```text
/// byte 0      32                           96       108     110
///      | high | low                        | scales | scale |
///        bit b of byte l is bit 2 of code + 4 of value 32 b + l
///               2 bits: byte 32 n + l holds values 128 n + l, + 32, + 64, + 96 from its low end up
///                                            6 bits each, stored as scale + 32:
///            byte 0..4    IIIIAAAA JJJJBBBB KKKKCCCC LLLLDDDD      (A is group 0, P group 15)
///            byte 4..8    MMMMEEEE NNNNFFFF OOOOGGGG PPPPHHHH
///            byte 8..12   MMIIEEAA NNJJFFBB OOKKGGCC PPLLHHDD
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Q3_K {
    /// The highest bit of each code, eight codes a byte.
    pub high: [u8; 32],
    /// The lower two bits, four codes a byte.
    pub low: [u8; 64],
    /// The packed scales of the groups.
    pub scales: [u8; 12],
    /// What the scales are multiplied by.
    pub scale: F16,
}

impl Q3_K {
    /// The scale of group `group`, from -32 to 31.
    ///
    /// # Panics
    /// If `group` is not below 16.
    #[inline]
    pub fn group_scale(&self, group: usize) -> i8 {
        assert!(group < 16);
        let low = self.scales[group % 8] >> (group / 8 * 4) & 15;
        let high = self.scales[8 + group % 4] >> (group / 4 * 2) & 3;
        (low | high << 4) as i8 - 32
    }
}

impl Block for Q3_K {
    const DTYPE: DType = DType::Q3_K;

    fn dequantize(&self, out: &mut [f32]) {
        dequantize_groups(self, out);
    }
}

impl Quantized for Q3_K {
    const GROUP: usize = 16;
    type Codes = [i8; 256];

    fn codes(&self) -> [i8; 256] {
        let high: [u8; 256] = unpack::<1, 32, 256>(&self.high);
        let low: [u8; 256] = unpack::<2, 32, 256>(&self.low);
        lowered(std::array::from_fn(|i| low[i] | high[i] << 2), 4)
    }

    #[inline]
    fn factors(&self, group: usize) -> (f32, f32) {
        let scale = f32::from(self.group_scale(group));
        (self.scale.to_f32() * scale, 0.0)
    }
}
