//! Reads a packed file: maps it, checks header and index, hands out weights.

use super::header::{Header, Purpose};
use super::index::{Entry, hex};
use super::{PAGE, PackedFileError};
use dino_core::{DType, Storage};
use dino_kernels::{PackedWeight, Packing};
use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// A packed file, mapped and checked.
#[derive(Debug)]
pub struct PackedFile {
    path: PathBuf,
    storage: Storage,
    header: Header,
    entries: HashMap<String, Entry>,
}

impl PackedFile {
    /// Opens the file if it was made for `purpose`.
    pub(super) fn open_for(path: &Path, purpose: Purpose) -> Result<Self, PackedFileError> {
        let file = Self::open(path)?;
        file.header.check(path, purpose)?;
        Ok(file)
    }

    /// Opens a packed file, whatever it was made from, to look at it.
    ///
    /// # Errors
    /// If it cannot be mapped, is of another version, or its header or index is damaged.
    pub fn open(path: &Path) -> Result<Self, PackedFileError> {
        let io = |source| PackedFileError::Io {
            file: path.to_owned(),
            source,
        };
        // Without this, a folder or a missing file would be an error of the mapping, which names it twice.
        std::fs::File::open(path).map_err(io)?;
        let storage = Storage::map(path).map_err(|error| io(std::io::Error::other(error)))?;
        let bytes = storage.as_slice();
        let header = Header::parse(path, bytes)?;
        let index = section(bytes, header.index_start, header.index_len);
        let index = index.ok_or_else(|| damaged(path, "the index", "a place inside the file"))?;
        let sum: [u8; 32] = Sha256::digest(index).into();
        if sum != header.index_sum {
            return Err(damaged(
                path,
                "the index",
                "bytes that agree with their sum",
            ));
        }
        let entries: Vec<Entry> = serde_json::from_slice(index)
            .map_err(|error| damaged(path, "the index", &format!("a list of weights ({error})")))?;
        let entries = entries.into_iter().map(|entry| (entry.name.clone(), entry));
        Ok(Self {
            path: path.to_owned(),
            header,
            entries: entries.collect(),
            storage,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Bytes of the file.
    pub fn byte_size(&self) -> usize {
        self.storage.len()
    }

    /// Names of its weights, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Asks the system to read the file ahead.
    pub(super) fn prefetch(&self) {
        self.storage.prefetch();
    }

    /// The weight `name` if it is there with this type, packing and shape.
    pub(super) fn weight(
        &self,
        name: &str,
        (dtype, packing): (DType, Packing),
        shape: [usize; 2],
    ) -> Option<PackedWeight> {
        let entry = self.entries.get(name)?;
        let is_int8 = packing == Packing::Int8;
        let fits = entry.dtype == dtype.gguf_id() && entry.int8 == is_int8;
        let fits = fits && [entry.rows, entry.columns] == shape;
        if !fits || !entry.start.is_multiple_of(PAGE) {
            return None;
        }
        let storage = self.storage.slice(entry.start, entry.len).ok()?;
        PackedWeight::from_packed(
            name,
            (dtype, packing),
            shape,
            self.header.purpose.lanes as usize,
            storage,
        )
        .ok()
    }

    /// Reads all weights and compares them with their sums.
    ///
    /// # Errors
    /// [`PackedFileError::Damaged`], which names the first weight that differs.
    pub fn verify(&self) -> Result<(), PackedFileError> {
        let mut entries: Vec<&Entry> = self.entries.values().collect();
        entries.sort_by_key(|entry| entry.start);
        for entry in entries {
            let what = || format!("weight `{}`", entry.name);
            let bytes = self.storage.slice(entry.start, entry.len);
            let bytes =
                bytes.map_err(|_| damaged(&self.path, &what(), "a place inside the file"))?;
            if hex(&Sha256::digest(bytes.as_slice())) != entry.sum {
                return Err(damaged(
                    &self.path,
                    &what(),
                    "bytes that agree with their sum",
                ));
            }
        }
        Ok(())
    }
}

fn section(bytes: &[u8], start: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(start).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    bytes.get(start..end)
}

fn damaged(file: &Path, what: &str, expected: &str) -> PackedFileError {
    PackedFileError::Damaged {
        file: file.to_owned(),
        what: what.to_owned(),
        expected: expected.to_owned(),
    }
}
