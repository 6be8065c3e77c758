//! The room that maps files: the only place where a file becomes memory.
#![allow(unsafe_code)]

use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

/// A whole file, mapped for reading.
#[derive(Debug)]
pub(super) struct MappedFile {
    /// `None` for an empty file, which systems refuse to map.
    map: Option<Mmap>,
}

impl MappedFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                "it is a folder",
            ));
        }
        if metadata.len() == 0 {
            return Ok(Self { map: None });
        }
        // SAFETY: the map is read-only and private to this type. That nobody truncates the file
        // meanwhile is the documented duty of the caller, as it is for every program that maps.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self { map: Some(map) })
    }

    /// `length` bytes from `offset`.
    pub(super) fn open_part(path: &Path, offset: usize, length: usize) -> io::Result<Self> {
        let file = File::open(path)?;
        let end = offset.checked_add(length).map(|end| end as u64);
        if end.is_none_or(|end| end > file.metadata().map_or(0, |metadata| metadata.len())) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if length == 0 {
            return Ok(Self { map: None });
        }
        let mut options = MmapOptions::new();
        // SAFETY: as in `open`.
        let map = unsafe { options.offset(offset as u64).len(length).map(&file)? };
        Ok(Self { map: Some(map) })
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }

    pub(super) fn prefetch(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Some(map) = &self.map {
            // A refused hint changes nothing but speed.
            let _ = map.advise_range(memmap2::Advice::WillNeed, range.start, range.len());
        }
        #[cfg(not(unix))]
        let _ = range;
    }

    /// Drops the whole pages inside `range`; the pages at its edges may hold a neighbour's bytes.
    pub(super) fn release(&self, range: Range<usize>) {
        const PAGE: usize = 4096;
        let start = range.start.next_multiple_of(PAGE);
        let end = range.end / PAGE * PAGE;
        #[cfg(unix)]
        if let Some(map) = &self.map
            && start < end
        {
            // SAFETY: for a shared read-only mapping of a file, dropped pages are read again from
            // the file with the same content, so references into the map stay valid.
            let _ = unsafe {
                map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start)
            };
        }
        #[cfg(not(unix))]
        let _ = (start, end);
    }
}
