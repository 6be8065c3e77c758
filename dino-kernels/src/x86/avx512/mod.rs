//! Kernels for AVX-512 (F, BW, DQ, VL, VNNI): vectors of 16 f32 values.

pub(crate) mod lanes;
pub(crate) mod math;
pub(crate) mod vector;
