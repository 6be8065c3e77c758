//! Kernels for 64-bit Arm, a folder for each instruction set.

pub(crate) mod dotprod;
pub(crate) mod neon;
