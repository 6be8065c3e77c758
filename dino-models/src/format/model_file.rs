//! A model file, whatever its format.

use super::{FormatError, Metadata, Weights, gguf, sniff};
use dino_core::Storage;
use std::path::{Path, PathBuf};

/// What a model file holds.
#[derive(Debug)]
pub struct ModelFile {
    /// Hyperparameters and vocabulary.
    pub metadata: Metadata,
    /// The tensors, in the mapped file.
    pub weights: Weights,
    /// The file, the first one of a split model.
    pub path: PathBuf,
}

/// How much of a file is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Metadata and tensors.
    All,
    /// Metadata alone.
    Metadata,
}

impl ModelFile {
    /// Maps a model file and reads its header. The tensors stay in the file until they are used.
    ///
    /// A split GGUF file is opened by its first part; the others must lie beside it.
    ///
    /// # Errors
    /// If the file cannot be mapped, is of a format that is not read here, or is damaged; the error names the place.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FormatError> {
        Self::open_extent(path.as_ref(), Extent::All)
    }

    /// Like [`ModelFile::open`] for the metadata alone: no tensor is looked at, so that the vocabulary of a file
    /// whose weights are of an unknown type can be used. `weights` is empty.
    ///
    /// # Errors
    /// As those of [`ModelFile::open`].
    pub fn open_vocabulary(path: impl AsRef<Path>) -> Result<Self, FormatError> {
        Self::open_extent(path.as_ref(), Extent::Metadata)
    }

    /// Reads a model from bytes, such as some in memory. Errors will call it `name`, and the other parts of a split
    /// model are looked for beside the path `name`.
    ///
    /// # Errors
    /// As those of [`ModelFile::open`].
    pub fn from_storage(name: impl AsRef<Path>, storage: &Storage) -> Result<Self, FormatError> {
        let name = name.as_ref();
        sniff::bytes(name, storage.as_slice())?;
        gguf::read(name, storage, Extent::All)
    }

    fn open_extent(path: &Path, extent: Extent) -> Result<Self, FormatError> {
        sniff::folder(path)?;
        let storage = Storage::map(path).map_err(FormatError::Open)?;
        sniff::bytes(path, storage.as_slice())?;
        gguf::read(path, &storage, extent)
    }
}
