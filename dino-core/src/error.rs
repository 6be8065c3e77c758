//! The errors of this crate.

use crate::DType;

/// What can be wrong with stored numbers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// A type number that no known format has.
    #[error("tensor type {0} cannot be read: convert the file to one of {types}", types = readable())]
    UnknownType(u32),
    /// A name that no type has.
    #[error("no type is called `{name}`; types are {types}", types = readable())]
    UnknownTypeName {
        /// The name.
        name: String,
    },
    /// The dimensions of a tensor multiply to more than memory can address.
    #[error("tensor `{name}`: dimensions {shape:?} are too large to address")]
    ShapeOverflow {
        /// The tensor's name.
        name: String,
        /// Its dimensions, rows first.
        shape: Vec<usize>,
    },
    /// The last dimension is not a whole number of blocks.
    #[error(
        "tensor `{name}`: a row of {columns} values cannot be stored as {dtype}, \
         whose blocks hold {block} values each"
    )]
    RaggedRow {
        /// The tensor's name.
        name: String,
        /// Values in a row.
        columns: usize,
        /// The stored type.
        dtype: DType,
        /// Values in a block of that type.
        block: usize,
    },
    /// The bytes given for a tensor are not as many as its shape and type need.
    #[error("tensor `{name}`: {expected} bytes expected for {dtype} {shape:?}, found {found}")]
    SizeMismatch {
        /// The tensor's name.
        name: String,
        /// The stored type.
        dtype: DType,
        /// Its dimensions, rows first.
        shape: Vec<usize>,
        /// Bytes that shape and type need.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// A tensor stored without its zeros that is not whole.
    #[error("tensor `{name}`: stored without its zeros, it needs {expected} {what}, found {found}")]
    Sparse {
        /// The tensor's name.
        name: String,
        /// What there is too little or too much of: bytes, or codes.
        what: &'static str,
        /// As many are needed.
        expected: usize,
        /// As many are there.
        found: usize,
    },
    /// A range that does not lie inside the storage.
    #[error("bytes {offset}..{end} asked of a storage of {len} bytes", end = .offset.saturating_add(*.length))]
    OutOfRange {
        /// First byte asked for.
        offset: usize,
        /// Bytes asked for.
        length: usize,
        /// Bytes there are.
        len: usize,
    },
    /// A matrix that a stack does not have.
    #[error("tensor `{name}`: matrix {index} asked of a stack of {count}")]
    NoSuchMatrix {
        /// The tensor's name.
        name: String,
        /// The matrix asked for.
        index: usize,
        /// Matrices there are.
        count: usize,
    },
    /// A file that could not be opened or mapped.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A mapped file that somebody changed.
    #[error(
        "{path} was changed while it was in use; load it again, and replace model files by renaming new ones into place",
        path = .path.display()
    )]
    FileChanged {
        /// The file.
        path: std::path::PathBuf,
    },
    /// A [`Requantize`](crate::Requantize) could not store a weight as the type it was asked for.
    #[error("tensor `{name}` cannot be stored as {dtype}: {source}")]
    Requantize {
        /// The tensor's name.
        name: String,
        /// The type asked for.
        dtype: DType,
        /// What the encoder says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn readable() -> String {
    DType::ALL.map(DType::name).join(", ")
}
