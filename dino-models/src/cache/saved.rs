//! Sequences in files, so that a program goes on where another has stopped.
//!
//! ```text
//! magic        8 bytes  "DINOSEQ\0"
//! version      u32      2
//! fingerprint  32 bytes of the model and the types of its cache, by whoever saves
//! tokens       u64      how many the sequence has
//! note         u64      bytes of the note
//! states       u64      values of all states together
//! page         u64      bytes of a page
//! …            the tokens as u32, the note, the states as f32, the pages as they lie in memory
//! sum          32 bytes SHA-256 of all that comes before
//! ```
//!
//! Numbers are little-endian. The sizes have to make up the size of the file to the byte, and are looked at before
//! anything is allocated for them.

use super::{Cache, Sequence, SequenceId};
use crate::ModelError;
use crate::beside::FileBeside;
use dino_kernels::{KvPage, PAGE};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"DINOSEQ\0";
const VERSION: u32 = 2;
const SUM: u64 = 32;
/// Magic, version, fingerprint and four sizes.
const HEADER: usize = 8 + 4 + 32 + 4 * 8;

/// A sequence that was read from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The sequence, which is the cache's now.
    pub sequence: SequenceId,
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// What was written beside it.
    pub note: Vec<u8>,
}

/// Why a sequence could not be saved or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SavedError {
    /// The file cannot be read or written.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{}: not a saved sequence: it begins with {found:02x?}", file.display())]
    NotSaved {
        /// The file.
        file: PathBuf,
        /// Its first bytes.
        found: Vec<u8>,
    },
    /// The file is of another version of the format.
    #[error("{}: version {found} of the format; this program reads version {expected}", file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The version that is read here.
        expected: u32,
    },
    /// It was saved with another model, or with keys and values of another type.
    #[error("{}: saved with another model, or with another type of keys and values", file.display())]
    OtherModel {
        /// The file.
        file: PathBuf,
    },
    /// The file is not as long as its header says.
    #[error("{}: damaged: {found} bytes, the header speaks of {expected}", file.display())]
    Length {
        /// The file.
        file: PathBuf,
        /// Its bytes.
        found: u64,
        /// What the header makes.
        expected: u64,
    },
    /// Its bytes are not those that were written.
    #[error("{}: damaged: its checksum does not fit its content", file.display())]
    Checksum {
        /// The file.
        file: PathBuf,
    },
}

impl Cache {
    /// Writes a sequence, whose tokens these are, and a note to a file, which takes its place when it is complete and
    /// on the disk. `fingerprint` tells models apart whose keys and values differ.
    ///
    /// # Errors
    /// [`SavedError::Io`]; [`ModelError::UnknownSequence`].
    pub fn save(
        &self,
        id: SequenceId,
        tokens: &[u32],
        note: &[u8],
        (fingerprint, path): ([u8; 32], &Path),
    ) -> Result<(), ModelError> {
        let sequence = self.sequence(id)?;
        let tokens = &tokens[..tokens.len().min(sequence.len)];
        let io = |source| SavedError::Io {
            file: path.to_owned(),
            source,
        };
        let mut writer = Writer {
            file: FileBeside::create(path).map_err(io)?,
            sum: Sha256::new(),
        };
        let sizes = Sizes {
            tokens: tokens.len() as u64,
            note: note.len() as u64,
            states: self.states.iter().map(|state| state.size as u64).sum(),
            page: self.layout.page_bytes() as u64,
        };
        let mut write = || -> io::Result<()> {
            writer.write(&sizes.header(fingerprint))?;
            for token in tokens {
                writer.write(&token.to_le_bytes())?;
            }
            writer.write(note)?;
            for state in &self.states {
                for value in &state.values[id.0 * state.size..][..state.size] {
                    writer.write(&value.to_le_bytes())?;
                }
            }
            for page in &sequence.pages[..tokens.len().div_ceil(PAGE)] {
                writer.write(page.as_bytes())?;
            }
            Ok(())
        };
        write().map_err(io)?;
        writer.finish().map_err(io)?;
        Ok(())
    }

    /// Adds a sequence from a file that [`Self::save`] wrote with the same fingerprint.
    ///
    /// # Errors
    /// [`SavedError`], if the file is of another model or version, or not to the bit what was written;
    /// [`ModelError::CacheFull`].
    pub fn restore(&mut self, fingerprint: [u8; 32], path: &Path) -> Result<Saved, ModelError> {
        let mut reader = Reader::open(path)?;
        let sizes = reader.header(fingerprint, self.layout.page_bytes() as u64)?;
        let states: usize = self.states.iter().map(|state| state.size).sum();
        if sizes.states != states as u64 {
            let file = path.to_owned();
            return Err(SavedError::OtherModel { file }.into());
        }
        let mut bytes = reader.take(4 * sizes.tokens as usize)?;
        let tokens = words(&bytes).map(u32::from_le_bytes).collect();
        let note = reader.take(sizes.note as usize)?;
        bytes = reader.take(4 * states)?;
        let mut values = words(&bytes).map(f32::from_le_bytes);
        let pages = sizes.pages() as usize;
        self.make_room(pages)?;
        let pages = (0..pages).map(|_| {
            let mut page = KvPage::new(self.layout);
            reader.fill(page.as_bytes_mut())?;
            Ok(Arc::new(page))
        });
        let pages = pages.collect::<Result<Vec<_>, SavedError>>()?;
        reader.finish()?;
        self.held += pages.len();
        let sequence = self.insert(Sequence {
            pages,
            len: sizes.tokens as usize,
        });
        for state in &mut self.states {
            let row = &mut state.values[sequence.0 * state.size..][..state.size];
            row.iter_mut()
                .zip(&mut values)
                .for_each(|(to, from)| *to = from);
        }
        Ok(Saved {
            sequence,
            tokens,
            note,
        })
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> + '_ {
    bytes.as_chunks().0.iter().copied()
}

/// How much there is of everything.
struct Sizes {
    tokens: u64,
    note: u64,
    states: u64,
    page: u64,
}

impl Sizes {
    fn header(&self, fingerprint: [u8; 32]) -> Vec<u8> {
        let sizes = [self.tokens, self.note, self.states, self.page];
        let mut header = MAGIC.to_vec();
        header.extend(VERSION.to_le_bytes());
        header.extend(fingerprint);
        header.extend(sizes.into_iter().flat_map(u64::to_le_bytes));
        header
    }

    fn pages(&self) -> u64 {
        self.tokens.div_ceil(PAGE as u64)
    }

    /// Bytes of the whole file; `None` if they are more than can be counted.
    fn file(&self) -> Option<u64> {
        let tokens = self.tokens.checked_mul(4)?;
        let states = self.states.checked_mul(4)?;
        let pages = self.pages().checked_mul(self.page)?;
        let parts = [tokens, self.note, states, pages, SUM];
        parts.into_iter().try_fold(HEADER as u64, u64::checked_add)
    }
}

struct Writer {
    file: FileBeside,
    sum: Sha256,
}

impl Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.file.write_all(bytes)
    }

    fn finish(mut self) -> io::Result<()> {
        self.file.write_all(&self.sum.finalize())?;
        self.file.commit()
    }
}

struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    len: u64,
    sum: Sha256,
}

impl Reader {
    fn open(path: &Path) -> Result<Self, SavedError> {
        let open = || {
            let file = File::open(path)?;
            Ok((file.metadata()?.len(), BufReader::new(file)))
        };
        let (len, file) = open().map_err(|source| SavedError::Io {
            file: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            len,
            sum: Sha256::new(),
        })
    }

    /// The sizes, which make up the file and a page of `page` bytes.
    fn header(&mut self, fingerprint: [u8; 32], page: u64) -> Result<Sizes, SavedError> {
        let file = self.path.clone();
        let found = self.take(self.len.min(8) as usize)?;
        if found != MAGIC {
            return Err(SavedError::NotSaved { file, found });
        }
        if self.len < HEADER as u64 {
            let (found, expected) = (self.len, HEADER as u64 + SUM);
            return Err(SavedError::Length {
                file,
                found,
                expected,
            });
        }
        let mut bytes = [0; HEADER - 8];
        self.fill(&mut bytes)?;
        let (version, rest) = bytes.split_first_chunk::<4>().expect("a header");
        let (print, sizes) = rest.split_first_chunk::<32>().expect("a header");
        let found = u32::from_le_bytes(*version);
        let expected = VERSION;
        if found != expected {
            return Err(SavedError::Version {
                file,
                found,
                expected,
            });
        }
        let mut sizes = sizes.as_chunks().0.iter().copied().map(u64::from_le_bytes);
        let mut next = || sizes.next().unwrap_or_default();
        let sizes = Sizes {
            tokens: next(),
            note: next(),
            states: next(),
            page: next(),
        };
        if *print != fingerprint || sizes.page != page {
            return Err(SavedError::OtherModel { file });
        }
        match sizes.file() {
            Some(expected) if expected == self.len => Ok(sizes),
            expected => Err(SavedError::Length {
                file,
                found: self.len,
                expected: expected.unwrap_or(u64::MAX),
            }),
        }
    }

    /// The next `count` bytes, which the file has.
    fn take(&mut self, count: usize) -> Result<Vec<u8>, SavedError> {
        let mut bytes = vec![0; count];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), SavedError> {
        self.read(bytes)?;
        self.sum.update(bytes);
        Ok(())
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), SavedError> {
        self.file
            .read_exact(bytes)
            .map_err(|source| SavedError::Io {
                file: self.path.clone(),
                source,
            })
    }

    /// Refuses what is not to the bit what was written.
    fn finish(mut self) -> Result<(), SavedError> {
        let mut written = [0; SUM as usize];
        self.read(&mut written)?;
        let found: [u8; 32] = self.sum.finalize().into();
        if found != written {
            return Err(SavedError::Checksum { file: self.path });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dino_kernels::{KvLayout, KvType};

    fn cache() -> Cache {
        let layout = KvLayout {
            layers: 2,
            kv_heads: 1,
            head_dim: 16,
            types: KvType::F16.into(),
        };
        Cache::new(layout, None).with_states(vec![3, 2])
    }

    fn filled() -> (Cache, SequenceId, Vec<u32>) {
        let mut cache = cache();
        let _other = cache.add();
        let id = cache.add();
        cache.reserve(id, 70).unwrap();
        cache.advance(id, 70).unwrap();
        for (number, page) in cache.pages_mut(id).unwrap().iter_mut().enumerate() {
            let page = Arc::get_mut(page).unwrap();
            page.as_bytes_mut().fill(number as u8 + 1);
        }
        cache.states_mut(1).row_mut(id.row()).fill(0.5);
        (cache, id, (0..70).collect())
    }

    #[test]
    fn what_was_saved_comes_back_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sequence");
        let (cache, id, tokens) = filled();
        cache
            .save(id, &tokens, b"a note", ([7; 32], &path))
            .unwrap();
        let mut other = self::cache();
        let saved = other.restore([7; 32], &path).unwrap();
        assert_eq!((saved.tokens, saved.note), (tokens, b"a note".to_vec()));
        assert_eq!(other.len(saved.sequence).unwrap(), 70);
        assert_eq!(other.held(), 2);
        let bytes = |cache: &Cache, id| {
            let pages = cache.pages(id).unwrap().iter();
            pages
                .map(|page| page.as_bytes().to_vec())
                .collect::<Vec<_>>()
        };
        assert_eq!(bytes(&other, saved.sequence), bytes(&cache, id));
        let row = saved.sequence.row();
        assert_eq!(other.states_mut(1).row(row).to_vec(), [0.5, 0.5]);
        assert_eq!(other.states_mut(0).row(row).to_vec(), [0.0; 3]);
    }

    #[test]
    fn every_damaged_byte_and_every_shorter_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sequence");
        let (cache, id, tokens) = filled();
        cache.save(id, &tokens, b"note", ([7; 32], &path)).unwrap();
        let good = std::fs::read(&path).unwrap();
        let mut other = self::cache();
        let mut refuse = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            match other.restore([7; 32], &path) {
                Err(ModelError::Saved(error)) => error,
                found => panic!("{found:?}"),
            }
        };
        for at in (0..good.len()).filter(|at| *at < 400 || at % 97 == 0) {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            refuse(&bad);
        }
        for len in [0, 5, 8, 20, HEADER, good.len() - 33, good.len() - 1] {
            refuse(&good[..len]);
        }
        refuse(&[&good[..], b"more"].concat());
        let mut body = good.clone();
        body[good.len() - 40] ^= 1;
        assert!(matches!(refuse(&body), SavedError::Checksum { .. }));
        let mut version = good.clone();
        version[8] = 9;
        assert!(matches!(
            refuse(&version),
            SavedError::Version {
                found: 9,
                expected: VERSION,
                ..
            }
        ));
        let mut huge = good.clone();
        huge[44..52].fill(0xff);
        assert!(matches!(refuse(&huge), SavedError::Length { .. }));
        assert!(matches!(refuse(b"GGUFGGUF"), SavedError::NotSaved { .. }));
        std::fs::write(&path, &good).unwrap();
        let error = other.restore([8; 32], &path).unwrap_err();
        assert!(matches!(
            error,
            ModelError::Saved(SavedError::OtherModel { .. })
        ));
        assert_eq!(other.held(), 0);
        other.restore([7; 32], &path).unwrap();
    }
}
