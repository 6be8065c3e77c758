//! The first bytes of a packed file.

use super::PackedFileError;
use dino_kernels::PACKED_LAYOUT;
use sha2::{Digest, Sha256};
use std::path::Path;

const MAGIC: &[u8; 8] = b"DINOPACK";
/// Of this file format; the order of packed bytes has a version of its own, [`PACKED_LAYOUT`].
const VERSION: u32 = 1;

/// What a file must have been made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Purpose {
    /// Rows that a register holds.
    pub(super) lanes: u32,
    /// What it was made from.
    pub(super) fingerprint: [u8; 32],
}

/// The header's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) purpose: Purpose,
    /// Where the index lies.
    pub(super) index_start: u64,
    pub(super) index_len: u64,
    /// SHA-256 of the index.
    pub(super) index_sum: [u8; 32],
}

impl Header {
    /// Bytes that it takes.
    pub(super) const LEN: usize = 136;

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(PACKED_LAYOUT.to_le_bytes());
        bytes.extend(self.purpose.lanes.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.purpose.fingerprint);
        bytes.extend(self.index_start.to_le_bytes());
        bytes.extend(self.index_len.to_le_bytes());
        bytes.extend(self.index_sum);
        let sum: [u8; 32] = Sha256::digest(&bytes).into();
        bytes.extend(sum);
        debug_assert_eq!(bytes.len(), Self::LEN);
        bytes
    }

    /// Reads a header.
    pub(super) fn parse(file: &Path, bytes: &[u8]) -> Result<Self, PackedFileError> {
        let damaged = |what: &str, expected: &str| PackedFileError::Damaged {
            file: file.to_owned(),
            what: what.to_owned(),
            expected: expected.to_owned(),
        };
        let stale = |what, found: String, expected: String| PackedFileError::Stale {
            file: file.to_owned(),
            what,
            found,
            expected,
        };
        let Some((bytes, _)) = bytes.split_first_chunk::<{ Self::LEN }>() else {
            return Err(damaged("its length", "at least a header of 136 bytes"));
        };
        if &bytes[..8] != MAGIC {
            return Err(damaged("byte 0", "the magic DINOPACK"));
        }
        let number = |at: usize| u32::from_le_bytes(array(&bytes[at..at + 4]));
        for (what, at, expected) in [
            ("the format version", 8, VERSION),
            ("the layout of packed weights", 12, PACKED_LAYOUT),
        ] {
            if number(at) != expected {
                return Err(stale(what, number(at).to_string(), expected.to_string()));
            }
        }
        let sum: [u8; 32] = Sha256::digest(&bytes[..104]).into();
        if sum != bytes[104..] {
            return Err(damaged("the header", "bytes that agree with their sum"));
        }
        let header = Self {
            purpose: Purpose {
                lanes: number(16),
                fingerprint: array(&bytes[24..56]),
            },
            index_start: u64::from_le_bytes(array(&bytes[56..64])),
            index_len: u64::from_le_bytes(array(&bytes[64..72])),
            index_sum: array(&bytes[72..104]),
        };
        Ok(header)
    }

    /// Makes sure that the file was made for `purpose`.
    pub(super) fn check(&self, file: &Path, purpose: Purpose) -> Result<(), PackedFileError> {
        let stale = |what, found: String, expected: String| {
            let file = file.to_owned();
            Err(PackedFileError::Stale {
                file,
                what,
                found,
                expected,
            })
        };
        let (found, expected) = (self.purpose.lanes, purpose.lanes);
        if found != expected {
            return stale(
                "the number of lanes",
                found.to_string(),
                expected.to_string(),
            );
        }
        if self.purpose.fingerprint != purpose.fingerprint {
            let (found, expected) = ("another model's or an older one's", "the model file's");
            return stale("the fingerprint", found.into(), expected.into());
        }
        Ok(())
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("as many bytes as were asked for")
}
