//! What is computed: CPU kernels per instruction set, the thread pool, and the operations of a forward pass.
//!
//! * [`Isa`] names the instruction sets; [`Kernels`] is a table of functions, one static table per set.
//! * [`ThreadPool`] runs the chunks of a parallel region; [`Compute`] is the pair that every operation is given.
//! * [`ops`] holds the operations: shapes, checks, the split into chunks, the table call.
//!
//! The folder of a kernel is its instruction set: `scalar/` defines what is computed, `x86/avx2/`, `x86/avx512/` and
//! the folders of `arm/` compute the same faster. Every set is tested against `scalar/` on every machine that has it.
//!
//! Work is split by rows, heads and pages, never along a sum: the bits are the same for any number of threads.

// What some vector kernels alone need is unused on the processors of others.
#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]

#[cfg(target_arch = "aarch64")]
mod arm;
mod bf16;
mod compute;
mod error;
mod int8;
mod isa;
mod kv;
mod limits;
pub mod ops;
mod output;
mod packed;
mod pool;
mod quantized;
mod scalar;
mod table;
#[cfg(test)]
mod testing;
mod tuning;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use bf16::Bf16Rows;
pub use compute::Compute;
pub use error::KernelError;
pub use int8::{INT8_MAX_COLUMNS, Int8Input, Int8Range, Int8Rows};
pub use isa::Isa;
pub use kv::{KvLayout, KvPage, KvType, KvTypes, PAGE};
pub use limits::Limits;
pub use packed::{PACKED_LAYOUT, PackError, PackedWeight, Packing};
pub use pool::{DisjointMut, ThreadPool, Waiting};
pub use quantized::QuantizedRows;
pub use scalar::chances::exp_nonpositive;
pub use table::{
    Activation, Angles, Kernels, LayerNorm, Memory, Scan, StateKernels, VectorKernels,
};
pub use tuning::{Panels, Tuning, processor};
