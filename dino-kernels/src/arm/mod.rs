//! Kernels for 64-bit Arm, a folder for each instruction set.

pub(crate) mod neon;
