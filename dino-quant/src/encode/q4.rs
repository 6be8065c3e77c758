//! Q4_0: the value of largest magnitude becomes code -8. Q4_1: the least becomes 0, the greatest 15.

use super::Encode;
use super::planes::nibbles;
use super::range::{bounds, extreme, inverse};
use dino_core::blocks::{F16, Q4_0, Q4_1};
use std::array;

impl Encode<32> for Q4_0 {
    fn encode(values: &[f32; 32]) -> Self {
        let scale = extreme(values) / -8.0;
        let inverse = inverse(scale);
        // 8 raises the code, 0.5 turns the truncation of `as` into rounding.
        let codes = array::from_fn(|i| ((values[i] * inverse + 8.5) as u8).min(15));
        Self {
            scale: F16::from_f32(scale),
            codes: nibbles(codes),
        }
    }
}

impl Encode<32> for Q4_1 {
    fn encode(values: &[f32; 32]) -> Self {
        let (least, greatest) = bounds(values);
        let scale = (greatest - least) / 15.0;
        let inverse = inverse(scale);
        let codes = array::from_fn(|i| (((values[i] - least) * inverse + 0.5) as u8).min(15));
        Self {
            scale: F16::from_f32(scale),
            min: F16::from_f32(least),
            codes: nibbles(codes),
        }
    }
}
