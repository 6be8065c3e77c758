//! F32, F16, BF16: the nearest value, ties to the even fraction.

use super::Encode;
use dino_core::blocks::{BF16, F16, F32};

impl Encode<1> for F32 {
    fn encode([value]: &[f32; 1], _: Option<&[f32; 1]>) -> Self {
        Self(value.to_le_bytes())
    }
}

impl Encode<1> for F16 {
    fn encode([value]: &[f32; 1], _: Option<&[f32; 1]>) -> Self {
        Self::from_f32(*value)
    }
}

impl Encode<1> for BF16 {
    fn encode([value]: &[f32; 1], _: Option<&[f32; 1]>) -> Self {
        Self::from_f32(*value)
    }
}
