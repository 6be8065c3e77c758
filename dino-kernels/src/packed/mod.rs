//! Weights as the kernels want them.
//!
//! A file stores a quantized weight row by row, block by block. A kernel that walks such a row gets one
//! output value at a time and spends its cycles on summing across a register and on lining up scales.
//! [`PackedWeight`] turns that by a quarter: the rows are cut into *groups* of `lanes` rows (8 for
//! 256-bit registers, 16 for 512-bit ones), and inside a group the blocks of all rows are interleaved,
//! so that one register holds the same four-byte *word* of every row:
//!
//! ```text
//! group ── words ── block 0: word 0 of rows 0…R-1 │ word 1 of rows 0…R-1 │ …
//!       │           block 1: …
//!       └─ heads ── block 0: f16 scale of rows 0…R-1 │ byte scales of rows 0…R-1 │ …
//! ```
//!
//! 1. A word is four consecutive bytes of codes, just what `vpdpbusd` and `vpmaddubsw` consume beside a
//!    broadcast word of the input: no shuffles, no sums across lanes.
//! 2. Codes move in whole words and are never re-encoded, so one rule packs every format, packing runs
//!    at the speed of memory, and what a format means stays in one place ([`Format`]).
//! 3. Words and heads are two streams: words stay on cache-line boundaries whatever a head weighs.
//!
//! Float weights are the same idea with single values for words: `[columns][R]` a group. Weights of int8 layers ([`int8`]) are
//! re-encoded: words of 8-bit codes, and one head a group.

mod codes;
mod format;
mod formats;
mod int8;
mod pack;
mod register;
mod sparse;
mod unpacked;
mod weight;

pub(crate) use codes::Codes;
#[cfg(test)]
pub(crate) use format::codes_of;
pub(crate) use format::{Format, SubBlock, with_format};
pub(crate) use formats::*;
pub(crate) use int8::Int8Group;
pub use pack::PackError;
pub(crate) use register::Register;
pub(crate) use sparse::{SparseFormat, SparseGroup, with_sparse_format};
pub(crate) use weight::{FloatGroup, QuantizedGroup};
pub use weight::{PACKED_LAYOUT, PackedWeight, Packing};
