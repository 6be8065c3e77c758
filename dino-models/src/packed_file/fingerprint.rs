//! What a packed file was made from.

use crate::Int8;
use crate::format::ModelFile;
use dino_core::Requantize;
use sha2::{Digest, Sha256};
use std::time::UNIX_EPOCH;

/// Bytes of each tensor that are looked at: enough to tell models apart, few enough to cost no time.
const SAMPLE: usize = 64;

/// What weights go through before they are packed.
#[derive(Clone, Copy)]
pub(crate) struct Encoders<'a> {
    pub(crate) requantize: Option<&'a dyn Requantize>,
    pub(crate) int8: Option<&'a Int8>,
}

/// A sum over what packing depends on: length and age of the file, name, type, shape and a sample of every tensor, and
/// the encoders that weights go through. `None` if an encoder does not say what it is.
pub(super) fn fingerprint(
    file: &ModelFile,
    Encoders { requantize, int8 }: Encoders<'_>,
) -> Option<[u8; 32]> {
    let mut sum = Sha256::new();
    if let Some(int8) = int8 {
        sum.update(int8.identity());
    }
    if let Some(encoder) = requantize {
        let identity = encoder.identity()?;
        sum.update(identity.len().to_le_bytes());
        sum.update(identity);
    }
    // A model in memory has no file; its samples must do.
    if let Ok(metadata) = std::fs::metadata(file.weights.file()) {
        sum.update(metadata.len().to_le_bytes());
        let age = metadata.modified().ok();
        let age = age.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        sum.update(age.map_or(0, |age| age.as_nanos()).to_le_bytes());
    }
    for (name, part) in file.weights.sources() {
        sum.update(name.len().to_le_bytes());
        sum.update(name);
        sum.update(part.dtype.gguf_id().to_le_bytes());
        for &dimension in part.shape {
            sum.update(dimension.to_le_bytes());
        }
        let bytes = part.storage.as_slice();
        let start = bytes.len().saturating_sub(SAMPLE) / 2;
        sum.update(&bytes[start..(start + SAMPLE).min(bytes.len())]);
    }
    Some(sum.finalize().into())
}
