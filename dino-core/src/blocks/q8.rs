//! Q8_0: 32 bytes under one scale.

use super::{Block, F16, Quantized, dequantize_groups};
use crate::DType;

/// 32 values `scale * code`, codes from -128 to 127. 8.5 bits a value.
///
/// ```text
/// byte 0       2                            34
///      | scale | codes                      |
///        f16     i8: byte i is value i
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Q8_0 {
    /// What a code of 1 is worth.
    pub scale: F16,
    /// One code a byte.
    pub codes: [i8; 32],
}

impl Block for Q8_0 {
    const DTYPE: DType = DType::Q8_0;

    fn dequantize(&self, out: &mut [f32]) {
        dequantize_groups(self, out);
    }
}

impl Quantized for Q8_0 {
    const GROUP: usize = 32;
    type Codes = [i8; 32];

    fn codes(&self) -> [i8; 32] {
        self.codes
    }

    #[inline]
    fn factors(&self, group: usize) -> (f32, f32) {
        assert_eq!(group, 0);
        (self.scale.to_f32(), 0.0)
    }
}
