//! GGUF, versions 2 and 3, little endian.
//!
//! The specification: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.
//!
//! ```text
//! "GGUF"  version u32  tensors u64  keys u64
//! keys    × (name string, type u32, value)
//! tensors × (name string, dimensions u32, each u64 with the contiguous one first, type u32, offset u64)
//! padding to general.alignment (32 unless it says otherwise)
//! the data section: each tensor at its offset, a multiple of the alignment
//! ```
//! A string is its length (u64) and its bytes; an array its element type (u32), its length (u64) and its elements.

mod header;
mod reader;
mod split;
mod tensors;
mod types;
mod writer;

pub use super::weights::TensorInfo;
pub(super) use split::read;
pub use writer::Writer;

/// Where a data section and its tensors start, unless `general.alignment` says otherwise.
const DEFAULT_ALIGNMENT: usize = 32;
/// The most keys, tensors, or arrays inside arrays of one file. Files have some dozens of keys and some thousand
/// tensors; what these cost in memory beyond their bytes in the file stays below a constant.
const MAX_ENTRIES: usize = 1 << 16;
/// The most bytes in the name of a key or a tensor: the specification's limit for keys.
const MAX_NAME: usize = (1 << 16) - 1;
