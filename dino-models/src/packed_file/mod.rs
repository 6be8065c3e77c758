//! The packed cache file: weights as the kernels read them, kept from one load to the next.
//!
//! Packing a model costs the time of reading and writing it once, and memory that no other process can share. A packed
//! file holds the result: a later load maps it and is done, and processes that use one model share its pages. It is a
//! cache and never more: it says which file it was made from, for how many lanes and in which layout, and whatever does not
//! agree is packed again.
//!
//! ```text
//! header   136 bytes: magic, versions, lanes, fingerprint of the source, place of the index, SHA-256 of index and header
//! weights  each on a 4096-byte boundary
//! index    JSON: name, type, shape, place and SHA-256 of each weight
//! ```
//!
//! A load checks the header and the index. The weights' own sums are for [`PackedFile::verify`], which reads everything.

mod error;
mod fingerprint;
mod header;
mod index;
mod read;
mod store;
mod write;

pub use error::PackedFileError;
pub(crate) use fingerprint::Encoders;
pub use read::PackedFile;
pub use store::PackedCache;
pub(crate) use store::{PackedSource, PackedStore};

/// Where weights begin: pages, so that a range of them can be released alone.
const PAGE: usize = 4096;
