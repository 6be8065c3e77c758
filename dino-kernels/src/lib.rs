//! What is computed: CPU kernels per instruction set, the thread pool, and the operations of a forward pass.
//!
//! * [`Isa`] names the instruction sets; [`Kernels`] is a table of functions, one static table per set.
//! * [`ThreadPool`] runs the chunks of a parallel region; [`Compute`] is the pair that every operation is given.
//! * [`ops`] holds the operations: shapes, checks, the split into chunks, the table call.
//!
//! The folder of a kernel is its instruction set: `scalar/` defines what is computed, `x86/avx2/` and
//! `x86/avx512/` compute the same faster. Every set is tested against `scalar/` on every machine that has it.
//!
//! Work is split by rows, heads and pages, never along a sum: the bits are the same for any number of threads.

mod compute;
mod error;
mod isa;
pub mod ops;
mod pool;
mod table;

pub use compute::Compute;
pub use error::KernelError;
pub use isa::Isa;
pub use pool::{DisjointMut, ThreadPool};
pub use table::Kernels;
