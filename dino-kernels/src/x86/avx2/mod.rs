//! AVX2 with FMA and F16C: 256-bit registers, eight f32 or 32 bytes.

pub(crate) mod attention;
pub(crate) mod chances;
pub(crate) mod int8;
mod lanes;
pub(crate) mod limits;
pub(crate) mod linear;
mod math;
mod planes;
mod register;
pub(crate) mod state;
pub(crate) mod vector;
