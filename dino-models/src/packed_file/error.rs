//! Why a packed file cannot be used.

use std::io;
use std::path::PathBuf;

/// Why a packed file cannot be used or written. A loader packs the model again where one cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackedFileError {
    /// It is not there, or cannot be read or written.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It was made from another file, for other kernels, or by another version.
    #[error("{}: {what} is {found}; expected {expected}", file.display())]
    Stale {
        /// The file.
        file: PathBuf,
        /// What differs.
        what: &'static str,
        /// What the file says.
        found: String,
        /// What would be usable.
        expected: String,
    },
    /// Its bytes contradict each other.
    #[error("{} is damaged at {what}: expected {expected}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The place.
        what: String,
        /// What should be there.
        expected: String,
    },
    /// The weights are re-encoded by something that does not say what it is ([`dino_core::Requantize::identity`]).
    #[error(
        "weights that an unnamed encoder re-encodes cannot be kept packed; give it an identity"
    )]
    UnnamedEncoder,
}
