//! NEON (Armv8.0): 128-bit registers, four f32 or 16 bytes, of which there are 32.

pub(crate) mod attention;
pub(crate) mod chances;
pub(crate) mod int8;
mod lanes;
pub(crate) mod linear;
mod math;
mod planes;
mod register;
pub(crate) mod vector;
