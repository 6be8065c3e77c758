//! Q5_0: the value of largest magnitude becomes code -16. Q5_1: the least becomes 0, the greatest 31.

use super::Encode;
use super::planes::{fifth_bits, nibbles};
use super::range::{bounds, extreme, inverse};
use dino_core::blocks::{F16, Q5_0, Q5_1};
use std::array;

impl Encode<32> for Q5_0 {
    fn encode(values: &[f32; 32]) -> Self {
        let scale = extreme(values) / -16.0;
        let inverse = inverse(scale);
        // 16 raises the code, 0.5 turns the truncation of `as` into rounding.
        let codes = array::from_fn(|i| ((values[i] * inverse + 16.5) as u8).min(31));
        Self {
            scale: F16::from_f32(scale),
            high: fifth_bits(codes),
            low: nibbles(codes),
        }
    }
}

impl Encode<32> for Q5_1 {
    fn encode(values: &[f32; 32]) -> Self {
        let (least, greatest) = bounds(values);
        let scale = (greatest - least) / 31.0;
        let inverse = inverse(scale);
        let codes = array::from_fn(|i| (((values[i] - least) * inverse + 0.5) as u8).min(31));
        Self {
            scale: F16::from_f32(scale),
            min: F16::from_f32(least),
            high: fifth_bits(codes),
            low: nibbles(codes),
        }
    }
}
