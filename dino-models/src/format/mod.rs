//! File formats: from the bytes of a file to typed [`Metadata`] and named [`Weights`].
//!
//! [`ModelFile::open`] looks at the first bytes and calls the parser they ask for. Whatever the format, the rest
//! of the program sees the same two things, and both *record what was read*: a key or a tensor that nobody asked
//! for is how a loader notices that it would compute something else than the file means.
//!
//! The bytes are hostile: every length is checked against what is left, nothing is allocated because a header
//! claims it, and every failure is a [`FormatError`] that names the place.

mod array;
mod convert;
mod derived;
mod error;
mod folder;
pub mod gguf;
pub(crate) mod json;
mod metadata;
mod model_file;
mod names;
mod piece;
pub mod safetensors;
mod serialize;
mod sniff;
mod value;
mod weights;

pub use array::{Array, ScalarArray, StringArray};
pub use convert::FromValue;
pub use error::FormatError;
pub use folder::Folder;
pub use metadata::{Metadata, Scoped};
pub use model_file::ModelFile;
pub use value::{Value, ValueType};
pub use weights::{KeptPart, TensorInfo, Weights};

pub(crate) use derived::{Join, Step, joined_shape, row_axis};
pub(crate) use names::{Origins, fill, pattern, stem};
pub(crate) use piece::Piece;
