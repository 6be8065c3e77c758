//! Kernels for x86-64, a folder for each instruction set.

mod ahead;
pub(crate) mod amx;
pub(crate) mod avx2;
pub(crate) mod avx512;
mod processor;

pub(crate) use processor::processor;
