//! Q5_0: the value of largest magnitude becomes code -16. Q5_1: the least becomes 0, the greatest 31.

use super::Encode;
use super::planes::{pack, upper};
use super::simple::{line_and_codes, scale_and_codes};
use dino_core::blocks::{F16, Q5_0, Q5_1};

impl Encode<32> for Q5_0 {
    fn encode(values: &[f32; 32], importance: Option<&[f32; 32]>) -> Self {
        let (scale, codes) = scale_and_codes::<-16, 15>(values, importance);
        Self {
            scale: F16::from_f32(scale),
            high: pack::<1, 1, 4>(&upper(&codes, 4)),
            low: pack::<4, 16, 16>(&codes),
        }
    }
}

impl Encode<32> for Q5_1 {
    fn encode(values: &[f32; 32], importance: Option<&[f32; 32]>) -> Self {
        let (line, codes) = line_and_codes(values, importance, 31.0);
        Self {
            scale: F16::from_f32(line.scale),
            min: F16::from_f32(line.offset),
            high: pack::<1, 1, 4>(&upper(&codes, 4)),
            low: pack::<4, 16, 16>(&codes),
        }
    }
}
