//! The room that maps files: the only place where a file becomes memory.
#![allow(unsafe_code)]

use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file or a part of one, mapped for reading.
#[derive(Debug)]
pub(super) struct MappedFile {
    /// `None` where there is no byte, which systems refuse to map.
    map: Option<Mmap>,
    /// The file, where it is mapped whole.
    source: Option<Source>,
}

/// What is known of a mapped file.
#[derive(Debug)]
struct Source {
    file: File,
    path: PathBuf,
    state: State,
}

/// What changes when somebody writes to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    len: u64,
    modified: Option<SystemTime>,
}

impl State {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            let error = io::Error::new(io::ErrorKind::IsADirectory, "it is a folder");
            return Err(error);
        }
        Ok(Self {
            len: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}

impl MappedFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let state = State::of(&file)?;
        // SAFETY: the map is read-only and private to this type. That nobody truncates the file
        // meanwhile is the documented duty of the caller, as it is for every program that maps.
        let map = (state.len > 0).then(|| unsafe { Mmap::map(&file) });
        let path = path.to_owned();
        Ok(Self {
            map: map.transpose()?,
            source: Some(Source { file, path, state }),
        })
    }

    /// `length` bytes from `offset`.
    pub(super) fn open_part(path: &Path, offset: usize, length: usize) -> io::Result<Self> {
        let file = File::open(path)?;
        let end = offset.checked_add(length).map(|end| end as u64);
        let len = State::of(&file)?.len;
        if end.is_none_or(|end| end > len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut options = MmapOptions::new();
        options.offset(offset as u64).len(length);
        // SAFETY: as in `open`.
        let map = (length > 0).then(|| unsafe { options.map(&file) });
        Ok(Self {
            map: map.transpose()?,
            source: None,
        })
    }

    /// The path, if the file is no longer what it was when it was mapped.
    pub(super) fn changed(&self) -> Option<&Path> {
        let source = self.source.as_ref()?;
        let now = State::of(&source.file).ok();
        (now != Some(source.state)).then_some(&source.path)
    }

    /// Reads the bytes of `range` through the file rather than the map; `None` where only a part is mapped.
    pub(super) fn read(&self, range: Range<usize>, to: &mut [u8]) -> Option<io::Result<()>> {
        let source = self.source.as_ref()?;
        Some(read_at(&source.file, range.start as u64, to))
    }

    /// The file's path, where it is mapped whole.
    pub(super) fn path(&self) -> Option<&Path> {
        self.source.as_ref().map(|source| source.path.as_path())
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

    /// As [`Self::release`], and lets the system's cache forget the pages, too, where that can be had.
    pub(super) fn evict(&self, range: Range<usize>) {
        self.release(range.clone());
        #[cfg(target_os = "linux")]
        if let Some(source) = &self.source {
            forget(&source.file, range);
        }
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

/// Lets the system's cache drop pages of a file that nobody has mapped.
#[cfg(target_os = "linux")]
fn forget(file: &File, range: Range<usize>) {
    use std::os::fd::AsRawFd;
    let (Ok(start), Ok(len)) = (range.start.try_into(), range.len().try_into()) else {
        return;
    };
    // SAFETY: a hint about an open file; it touches no memory, and a refusal changes nothing but speed.
    let _ = unsafe { libc::posix_fadvise(file.as_raw_fd(), start, len, libc::POSIX_FADV_DONTNEED) };
}

#[cfg(unix)]
fn read_at(file: &File, offset: u64, to: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, to, offset)
}

#[cfg(not(unix))]
fn read_at(file: &File, offset: u64, to: &mut [u8]) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    // Another handle, so that readers at the same time do not move each other's place.
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(to)
}
