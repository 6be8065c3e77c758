//! MXFP4: 32 floats of 4 bits under a power of two.

use super::planes::unpack;
use super::{Block, Quantized, dequantize_groups};
use crate::DType;

/// Twice the values of an E2M1 float: doubled they are integers, and [`e8m0_to_f32`] halves the scale.
///
/// E2M1 has a negative zero at index 8; as in ggml it is read as zero.
pub const MXFP4_VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// 32 values `2^(exponent - 128) * MXFP4_VALUES[index]`. 4.25 bits a value.
///
/// The format of the OCP Microscaling specification 1.0, except that an exponent of 255, there NaN, is read
/// as ggml reads it, as one more power of two.
///
/// ```text
/// byte 0          1                            17
///      | exponent | indices                    |
///        E8M0       nibbles: byte i holds value i (low) and value 16 + i (high)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct MXFP4 {
    /// The shared exponent, raised by 127.
    pub exponent: u8,
    /// Two indices a byte.
    pub indices: [u8; 16],
}

/// Half of the E8M0 float `exponent`: `2^(exponent - 128)`.
#[inline]
pub fn e8m0_to_f32(exponent: u8) -> f32 {
    let bits = match exponent {
        // 2^-128 and 2^-127 are below the least normal float.
        0 => 0x0020_0000,
        1 => 0x0040_0000,
        _ => (u32::from(exponent) - 1) << 23,
    };
    f32::from_bits(bits)
}

impl Block for MXFP4 {
    const DTYPE: DType = DType::MXFP4;

    fn dequantize(&self, out: &mut [f32]) {
        dequantize_groups(self, out);
    }
}

impl Quantized for MXFP4 {
    const GROUP: usize = 32;
    type Codes = [i8; 32];

    fn codes(&self) -> [i8; 32] {
        unpack::<4, 16, 32>(&self.indices).map(|index| MXFP4_VALUES[usize::from(index)])
    }

    #[inline]
    fn factors(&self, group: usize) -> (f32, f32) {
        assert_eq!(group, 0);
        (e8m0_to_f32(self.exponent), 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exponent_is_a_power_of_two() {
        for exponent in 0..=255_u8 {
            let expected = 2.0_f64.powi(i32::from(exponent) - 128);
            assert_eq!(f64::from(e8m0_to_f32(exponent)), expected);
        }
    }
}
