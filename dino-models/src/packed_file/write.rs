//! Writes a packed file while a model is packed, weight by weight.

use super::header::{Header, Purpose};
use super::index::{Entry, hex};
use super::{PAGE, PackedFileError};
use crate::beside::FileBeside;
use dino_core::Storage;
use dino_kernels::PackedWeight;
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A packed file that is being written.
#[derive(Debug)]
pub(crate) struct PackedWriter {
    path: PathBuf,
    file: FileBeside,
    purpose: Purpose,
    entries: Vec<Entry>,
    len: usize,
}

impl PackedWriter {
    pub(super) fn create(path: &Path, purpose: Purpose) -> Result<Self, PackedFileError> {
        let start = || -> io::Result<FileBeside> {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut file = FileBeside::create(path)?;
            file.write_all(&[0; PAGE])?;
            Ok(file)
        };
        Ok(Self {
            path: path.to_owned(),
            file: start().map_err(|source| write_error(path, source))?,
            purpose,
            entries: Vec::new(),
            len: PAGE,
        })
    }

    /// Where the file will be.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a weight.
    pub(super) fn push(&mut self, weight: &PackedWeight) -> Result<(), PackedFileError> {
        let bytes = weight.storage().as_slice();
        let padding = bytes.len().next_multiple_of(PAGE) - bytes.len();
        let write = |file: &mut FileBeside| {
            file.write_all(bytes)?;
            file.write_all(&[0; PAGE][..padding])
        };
        write(&mut self.file).map_err(|source| write_error(&self.path, source))?;
        self.entries.push(Entry {
            name: weight.name().to_owned(),
            dtype: weight.dtype().gguf_id(),
            int8: weight.is_int8(),
            rows: weight.rows(),
            columns: weight.columns(),
            start: self.len,
            len: bytes.len(),
            sum: hex(&Sha256::digest(bytes)),
        });
        self.len += bytes.len() + padding;
        Ok(())
    }

    /// The weight that was appended last, as a page of the file rather than memory of this process.
    pub(super) fn map_last(
        &mut self,
        weight: &PackedWeight,
    ) -> Result<PackedWeight, PackedFileError> {
        let file = self.path.clone();
        let io = |source| write_error(&file, source);
        let last = self
            .entries
            .last()
            .ok_or_else(|| io(io::ErrorKind::NotFound.into()))?;
        let (start, len) = (last.start, last.len);
        self.file.flush().map_err(io)?;
        let storage = Storage::map_part(self.file.partial(), start, len);
        let storage = storage.map_err(|error| io(io::Error::other(error)))?;
        weight
            .moved(storage)
            .map_err(|error| io(io::Error::other(error)))
    }

    /// Writes index and header, and puts the file in its place.
    pub(super) fn finish(self) -> Result<(), PackedFileError> {
        let Self {
            path,
            mut file,
            purpose,
            entries,
            len,
        } = self;
        // Weights of one name could be taken for each other: they are packed anew each time.
        let is_alone = |entry: &Entry| entries.iter().filter(|e| e.name == entry.name).count() == 1;
        let entries: Vec<&Entry> = entries.iter().filter(|entry| is_alone(entry)).collect();
        let finish = move || -> io::Result<()> {
            let index = serde_json::to_vec(&entries)?;
            let header = Header {
                purpose,
                index_start: len as u64,
                index_len: index.len() as u64,
                index_sum: Sha256::digest(&index).into(),
            };
            file.write_all(&index)?;
            file.rewrite_start(&header.to_bytes())?;
            file.commit()
        };
        finish().map_err(|source| write_error(&path, source))
    }
}

fn write_error(file: &Path, source: io::Error) -> PackedFileError {
    PackedFileError::Io {
        file: file.to_owned(),
        source,
    }
}
