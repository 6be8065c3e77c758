//! A cursor over hostile bytes: it never steps beyond them, and its errors tell what was being read and where.

use super::MAX_NAME;
use crate::format::FormatError;
use dino_core::Storage;
use std::path::{Path, PathBuf};

/// A position in the header of a file.
pub(super) struct Reader<'a> {
    file: &'a Path,
    storage: &'a Storage,
    /// What is not read yet.
    rest: &'a [u8],
    /// What is being read, for errors.
    reading: String,
}

impl<'a> Reader<'a> {
    /// The first byte of `storage`, the content of `file`.
    pub(super) fn new(file: &'a Path, storage: &'a Storage) -> Self {
        Self {
            file,
            storage,
            rest: storage.as_slice(),
            reading: "the header".into(),
        }
    }

    /// Says what is read from here on.
    pub(super) fn enter(&mut self, reading: String) {
        self.reading = reading;
    }

    /// The file and what is being read in it, for the errors of a caller.
    pub(super) fn place(&self) -> (PathBuf, String) {
        (self.file.into(), self.reading.clone())
    }

    /// The offset of the next byte.
    pub(super) fn position(&self) -> usize {
        self.storage.len() - self.rest.len()
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next `length` bytes.
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(self.truncated(length as u64));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// The bytes from offset `start` up to here, shared with the file.
    pub(super) fn since(&self, start: usize) -> Result<Storage, FormatError> {
        let length = self.position().saturating_sub(start);
        self.storage.slice(start, length).map_err(FormatError::Open)
    }

    pub(super) fn u32(&mut self) -> Result<u32, FormatError> {
        self.chunk().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, FormatError> {
        self.chunk().map(u64::from_le_bytes)
    }

    /// A count of things that take at least `size` bytes each and may be `limit` at most.
    pub(super) fn count(
        &mut self,
        unit: &'static str,
        size: usize,
        limit: usize,
    ) -> Result<usize, FormatError> {
        let offset = self.position();
        let claimed = self.u64()?;
        let possible = limit.min(self.left() / size);
        let count = usize::try_from(claimed)
            .ok()
            .filter(|&count| count <= possible);
        count.ok_or_else(|| FormatError::TooMany {
            file: self.file.into(),
            reading: self.reading.clone(),
            offset,
            claimed,
            unit,
            possible,
        })
    }

    /// A string of at most `limit` bytes.
    pub(super) fn bytes(&mut self, limit: usize) -> Result<&'a [u8], FormatError> {
        let length = self.count("bytes", 1, limit)?;
        self.take(length)
    }

    /// The name of a key or a tensor.
    pub(super) fn name(&mut self) -> Result<&'a str, FormatError> {
        let offset = self.position();
        let name = self.bytes(MAX_NAME)?;
        std::str::from_utf8(name).map_err(|_| FormatError::NotUtf8 {
            file: self.file.into(),
            reading: self.reading.clone(),
            offset,
        })
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let Some((chunk, rest)) = self.rest.split_first_chunk() else {
            return Err(self.truncated(N as u64));
        };
        self.rest = rest;
        Ok(*chunk)
    }

    fn truncated(&self, needed: u64) -> FormatError {
        FormatError::Truncated {
            file: self.file.into(),
            reading: self.reading.clone(),
            offset: self.position(),
            needed,
            left: self.left(),
        }
    }
}
