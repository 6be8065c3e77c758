//! AVX2 with FMA and F16C: 256-bit registers, eight f32 or 32 bytes.

pub(crate) mod attention;
mod formats;
mod lanes;
pub(crate) mod linear;
mod math;
pub(crate) mod vector;
