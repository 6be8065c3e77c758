//! AMX: registers of 16 × 64 bytes, multiplied as matrices. All but long products is AVX-512's.
//!
//! The intrinsics are unstable, so the few instructions are written in assembly.

pub(crate) mod bf16;
pub(crate) mod int8;
pub(crate) mod tiles;
