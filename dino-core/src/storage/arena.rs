//! The room where many weights share large pieces of memory.
//!
//! A small model has hundreds of matrices of some hundred KiB. In memory of their own they lie on small pages, each
//! with an entry of its own in the processor's address tables, and its prefetchers stop at every page's end. Side by
//! side in regions that the system may back with large pages, the same weights are read about a tenth faster.
#![allow(unsafe_code)]

use super::{Source, Storage};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a region that holds many allocations; larger ones get a region of their own.
const REGION: usize = 64 << 20;
/// The size of a large page on the systems that have them.
const LARGE_PAGE: usize = 2 << 20;
/// Allocations begin on cache lines.
const LINE: usize = 64;

/// Hands out memory that is filled once and then shared as [`Storage`].
///
/// The memory goes back to the system when the last storage from it is gone. What is never written is never taken.
///
/// ```
/// let mut arena = dino_core::storage::Arena::new();
/// let storage = arena.fill(5, |bytes| bytes.copy_from_slice(b"hello"))?;
/// assert_eq!(storage.as_slice(), b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Arena {
    region: Option<Arc<Region>>,
    used: usize,
}

/// Zeroed memory that the system gives and takes back by itself.
#[cfg(any(unix, windows))]
type Memory = memmap2::MmapMut;
/// Where there are no maps of memory: from the program's own allocator.
#[cfg(not(any(unix, windows)))]
type Memory = super::AlignedBytes;

/// A piece of anonymous memory, of which ranges are written one after the other.
#[derive(Debug)]
pub(super) struct Region {
    start: *mut u8,
    len: usize,
    /// Keeps the memory; it is only ever reached through `start`.
    _memory: Memory,
}

// SAFETY: the memory is written only inside `Arena::fill`, in ranges that nobody else can reach yet; afterwards it is
// only read.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Arena {
    /// An arena without memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// `len` bytes, zero at first, on a cache line, as `fill` leaves them.
    ///
    /// # Errors
    /// If the system has no memory left.
    pub fn fill(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> io::Result<Storage> {
        let room = self
            .region
            .as_ref()
            .map_or(0, |region| region.len - self.used);
        if len > room {
            self.region = Some(Arc::new(Region::new(len)?));
            self.used = 0;
        }
        let Some(region) = &self.region else {
            return Ok(Storage::from_vec(Vec::new()));
        };
        let range = self.used..self.used + len;
        // Rounded up, the end may pass the region's: then there is no room for anything but an empty range.
        self.used = range.end.next_multiple_of(LINE).min(region.len);
        // SAFETY: the range lies in the region, and no storage of it was handed out yet, nor will be of another
        // range that overlaps it; so this is the only reference to these bytes.
        fill(unsafe { std::slice::from_raw_parts_mut(region.start.add(range.start), len) });
        Ok(Storage {
            source: Source::Arena(Arc::clone(region)),
            range,
        })
    }
}

impl Region {
    /// Room for at least `len` bytes.
    fn new(len: usize) -> io::Result<Self> {
        let size = len.max(REGION).checked_next_multiple_of(LARGE_PAGE);
        let size = size.ok_or(io::ErrorKind::OutOfMemory)?;
        let mut memory = take(size)?;
        let start = memory.as_mut_ptr();
        Ok(Self {
            start,
            len: size,
            _memory: memory,
        })
    }

    /// The bytes of a range that was filled.
    pub(super) fn slice(&self, range: Range<usize>) -> &[u8] {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "range of the region"
        );
        // SAFETY: the range lies in the region. Ranges come from storages alone, whose bytes are no longer written.
        unsafe { std::slice::from_raw_parts(self.start.add(range.start), range.len()) }
    }
}

#[cfg(any(unix, windows))]
fn take(size: usize) -> io::Result<Memory> {
    let memory = Memory::map_anon(size)?;
    // A refused hint changes nothing but speed.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    Ok(memory)
}

#[cfg(not(any(unix, windows)))]
fn take(size: usize) -> io::Result<Memory> {
    Memory::try_zeroed(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_filled_stays_while_more_is_added() {
        let mut arena = Arena::new();
        let sizes = [1, 0, 64, 1000, REGION / 2, REGION / 2, REGION + 1, 7];
        let storages: Vec<_> = (0_u8..)
            .zip(sizes)
            .map(|(index, size)| arena.fill(size, |bytes| bytes.fill(index)).unwrap())
            .collect();
        drop(arena);
        for (index, (storage, size)) in storages.iter().zip(sizes).enumerate() {
            assert_eq!(storage.len(), size);
            assert!(
                storage
                    .as_slice()
                    .iter()
                    .all(|&byte| usize::from(byte) == index)
            );
            assert!(storage.as_slice().as_ptr().addr().is_multiple_of(LINE) || size == 0);
            let part = storage.slice(size / 2, size - size / 2).unwrap();
            assert_eq!(part.as_slice(), &storage.as_slice()[size / 2..]);
        }
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        assert!(Arena::new().fill(usize::MAX, |_| {}).is_err());
    }
}
