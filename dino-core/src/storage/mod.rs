//! Bytes that are owned or mapped, cheap to share and to slice.

mod aligned;
mod arena;
mod mapped;

use crate::CoreError;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub use aligned::AlignedBytes;
pub use arena::Arena;
use arena::Region;
use mapped::MappedFile;

/// A shared, immutable run of bytes.
///
/// Cloning and slicing copy nothing. Owned bytes start on a 64-byte boundary when they come from
/// [`AlignedBytes`]; mapped ones keep the alignment that they have in the file.
#[derive(Clone, Debug)]
pub struct Storage {
    source: Source,
    range: Range<usize>,
}

#[derive(Clone, Debug)]
enum Source {
    Vector(Arc<Vec<u8>>),
    Aligned(Arc<AlignedBytes>),
    Arena(Arc<Region>),
    Mapped(Arc<MappedFile>),
}

impl Storage {
    /// Takes over `bytes`.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self {
            source: Source::Vector(Arc::new(bytes)),
            range,
        }
    }

    /// Takes over `bytes`, which start on a 64-byte boundary.
    pub fn from_aligned(bytes: AlignedBytes) -> Self {
        let range = 0..bytes.as_slice().len();
        Self {
            source: Source::Aligned(Arc::new(bytes)),
            range,
        }
    }

    /// Maps the file at `path`, reading nothing yet.
    ///
    /// The file must not be changed while it is mapped: a program that truncates it makes later reads fault.
    ///
    /// # Errors
    /// [`CoreError::Io`] if it cannot be opened or mapped.
    pub fn map(path: &Path) -> Result<Self, CoreError> {
        let file = MappedFile::open(path).map_err(|source| CoreError::Io {
            path: path.to_owned(),
            source,
        })?;
        let range = 0..file.as_slice().len();
        Ok(Self {
            source: Source::Mapped(Arc::new(file)),
            range,
        })
    }

    /// Maps `length` bytes of the file at `path` from `offset` on, a whole number of 4096-byte pages.
    ///
    /// What holds for [`Storage::map`] holds here.
    ///
    /// # Errors
    /// [`CoreError::Io`] if it cannot be opened or mapped, or if the bytes do not all lie inside.
    pub fn map_part(path: &Path, offset: usize, length: usize) -> Result<Self, CoreError> {
        let file = MappedFile::open_part(path, offset, length).map_err(|source| CoreError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            source: Source::Mapped(Arc::new(file)),
            range: 0..length,
        })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        let all = match &self.source {
            Source::Vector(bytes) => bytes.as_slice(),
            Source::Aligned(bytes) => bytes.as_slice(),
            Source::Mapped(file) => file.as_slice(),
            Source::Arena(region) => return region.slice(self.range.clone()),
        };
        &all[self.range.clone()]
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Whether the bytes are pages of a file rather than memory of this process.
    pub fn is_mapped(&self) -> bool {
        matches!(self.source, Source::Mapped(_))
    }

    /// The file that the bytes are pages of, if it is mapped whole.
    pub fn path(&self) -> Option<&Path> {
        match &self.source {
            Source::Mapped(file) => file.path(),
            _ => None,
        }
    }

    /// `length` bytes from `offset`, sharing this storage.
    ///
    /// # Errors
    /// [`CoreError::OutOfRange`] if they do not all lie inside.
    pub fn slice(&self, offset: usize, length: usize) -> Result<Self, CoreError> {
        let end = offset.checked_add(length).filter(|&end| end <= self.len());
        let Some(end) = end else {
            return Err(CoreError::OutOfRange {
                offset,
                length,
                len: self.len(),
            });
        };
        let range = self.range.start + offset..self.range.start + end;
        Ok(Self {
            source: self.source.clone(),
            range,
        })
    }

    /// Makes sure that a mapped file still is what it was when it was mapped. Reading a mapped file that was truncated
    /// ends the process on most systems; asking first turns nearly all such cases into an error.
    ///
    /// # Errors
    /// [`CoreError::FileChanged`] if its length or its time of change is another.
    pub fn check_unchanged(&self) -> Result<(), CoreError> {
        match &self.source {
            Source::Mapped(file) => match file.changed() {
                Some(path) => Err(CoreError::FileChanged { path: path.into() }),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// The bytes as memory of this process; those of a mapped file are read anew, so that a disk or network that fails is
    /// an error rather than the end of the process.
    ///
    /// # Errors
    /// [`CoreError::Io`].
    pub fn to_owned_bytes(&self) -> Result<Self, CoreError> {
        let Source::Mapped(file) = &self.source else {
            return Ok(self.clone());
        };
        let mut bytes = AlignedBytes::zeroed(self.len());
        match file.read(self.range.clone(), bytes.as_mut_slice()) {
            None => bytes.as_mut_slice().copy_from_slice(self.as_slice()),
            Some(read) => read.map_err(|source| CoreError::Io {
                path: file.path().map(Path::to_owned).unwrap_or_default(),
                source,
            })?,
        }
        Ok(Self::from_aligned(bytes))
    }

    /// Tells the system that these bytes will be read soon. A hint: does nothing for owned bytes.
    pub fn prefetch(&self) {
        if let Source::Mapped(file) = &self.source {
            file.prefetch(self.range.clone());
        }
    }

    /// As [`Self::release`], and lets the system's cache of files forget the bytes, too, on systems that can be told so: for
    /// files that are larger than the cache, which would otherwise forget what is wanted next. Only for a file mapped whole.
    pub fn evict(&self) {
        if let Source::Mapped(file) = &self.source {
            file.evict(self.range.clone());
        }
    }

    /// Lets the system drop the pages of these bytes from this process; a later read brings them back.
    /// Does nothing for owned bytes. Pages shared with a neighbouring slice stay.
    pub fn release(&self) {
        if let Source::Mapped(file) = &self.source {
            file.release(self.range.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn slices_share_and_stay_inside() {
        let all = Storage::from_vec((0..10).collect());
        let part = all.slice(2, 5).unwrap();
        assert_eq!(part.as_slice(), [2, 3, 4, 5, 6]);
        assert_eq!(part.slice(4, 1).unwrap().as_slice(), [6]);
        assert!(matches!(
            part.slice(4, 2),
            Err(CoreError::OutOfRange { len: 5, .. })
        ));
        assert!(part.slice(usize::MAX, 2).is_err());
    }

    #[test]
    fn a_mapped_file_survives_its_release() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..20_000_u32).map(|i| (i % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        let mapped = Storage::map(file.path()).unwrap();
        let part = mapped.slice(100, 15_000).unwrap();
        part.prefetch();
        assert_eq!(part.as_slice(), &bytes[100..15_100]);
        part.release();
        assert_eq!(mapped.as_slice(), bytes);
        part.evict();
        assert_eq!(mapped.as_slice(), bytes);
    }

    #[test]
    fn a_part_of_a_file_is_mapped_if_it_is_there() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..10_000_u32).map(|i| (i % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        let part = Storage::map_part(file.path(), 4096, 5000).unwrap();
        assert_eq!(part.as_slice(), &bytes[4096..9096]);
        assert!(Storage::map_part(file.path(), 8192, 0).unwrap().is_empty());
        for (offset, length) in [(8192, 2000), (usize::MAX, 1), (4096, usize::MAX)] {
            let error = Storage::map_part(file.path(), offset, length).unwrap_err();
            assert!(matches!(error, CoreError::Io { .. }), "{error}");
        }
    }

    #[test]
    fn a_file_that_changes_is_noticed() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[7; 10_000]).unwrap();
        let mapped = Storage::map(file.path()).unwrap();
        let part = mapped.slice(100, 9_000).unwrap();
        part.check_unchanged().unwrap();
        assert_eq!(part.to_owned_bytes().unwrap().as_slice(), part.as_slice());
        file.as_file().set_len(5_000).unwrap();
        let error = part.check_unchanged().unwrap_err();
        let named = file.path().to_string_lossy().into_owned();
        assert!(error.to_string().contains(&named), "{error}");
        assert!(matches!(part.to_owned_bytes(), Err(CoreError::Io { .. })));
        Storage::from_vec(vec![1]).check_unchanged().unwrap();
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Storage::map(Path::new("no/such/file.gguf")).unwrap_err();
        assert!(error.to_string().contains("no/such/file.gguf"), "{error}");
    }
}
