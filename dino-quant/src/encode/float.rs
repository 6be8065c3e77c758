//! F32, F16, BF16: the nearest value, ties to the even fraction.

use super::Encode;
use dino_core::blocks::{BF16, F16, F32};

impl Encode for F32 {
    fn encode(values: &[f32]) -> Self {
        Self(values[0].to_le_bytes())
    }
}

impl Encode for F16 {
    fn encode(values: &[f32]) -> Self {
        Self::from_f32(values[0])
    }
}

impl Encode for BF16 {
    fn encode(values: &[f32]) -> Self {
        Self::from_f32(values[0])
    }
}
