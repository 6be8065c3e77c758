//! Kernels for AVX-512 (F, BW, DQ, VL, VNNI): vectors of 16 f32 values.

pub(crate) mod attention;
pub(crate) mod attention_bf16;
mod attention_lanes;
pub(crate) mod bf16;
pub(crate) mod chances;
pub(crate) mod int8;
pub(crate) mod lanes;
pub(crate) mod limits;
pub(crate) mod linear;
pub(crate) mod math;
mod pairs;
mod planes;
mod register;
pub(crate) mod state;
pub(crate) mod vector;
