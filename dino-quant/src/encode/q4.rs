//! Q4_0: the value of largest magnitude becomes code -8. Q4_1: the least becomes 0, the greatest 15.

use super::Encode;
use super::planes::pack;
use super::simple::{line_and_codes, scale_and_codes};
use dino_core::blocks::{F16, Q4_0, Q4_1};

impl Encode<32> for Q4_0 {
    fn encode(values: &[f32; 32], importance: Option<&[f32; 32]>) -> Self {
        let (scale, codes) = scale_and_codes::<-8, 7>(values, importance);
        Self {
            scale: F16::from_f32(scale),
            codes: pack::<4, 16, 16>(&codes),
        }
    }
}

impl Encode<32> for Q4_1 {
    fn encode(values: &[f32; 32], importance: Option<&[f32; 32]>) -> Self {
        let (line, codes) = line_and_codes(values, importance, 15.0);
        Self {
            scale: F16::from_f32(line.scale),
            min: F16::from_f32(line.offset),
            codes: pack::<4, 16, 16>(&codes),
        }
    }
}
