//! Q8_0: the value of largest magnitude becomes code 127 or -127.

use super::Encode;
use super::range::{extreme, inverse};
use dino_core::blocks::{F16, Q8_0};
use std::array;

impl Encode for Q8_0 {
    fn encode(values: &[f32]) -> Self {
        let scale = extreme(values).abs() / 127.0;
        let inverse = inverse(scale);
        Self {
            scale: F16::from_f32(scale),
            codes: array::from_fn(|i| (values[i] * inverse).round() as i8),
        }
    }
}
