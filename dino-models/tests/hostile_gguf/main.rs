//! Damaged and malicious GGUF files: each is parsed or refused with a typed error, without a panic and without
//! memory beyond the file's own size and a constant.

mod bytes;
mod claims;
mod mutations;
mod sparse;
mod structure;

use dino_core::Storage;
use dino_models::format::{Array, FormatError, ModelFile, Value};
use peak_alloc::PeakAlloc;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Held by every test from its first line, for the memory is counted for the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Parses `bytes` and reads everything that came out; the memory that this took must stay within the size of the
/// bytes and `constant` more.
fn parse_within(bytes: &[u8], constant: usize) -> Result<ModelFile, FormatError> {
    let storage = Storage::from_vec(bytes.to_vec());
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let model = ModelFile::from_storage("hostile.gguf", &storage);
    match &model {
        Ok(model) => read_all(model),
        Err(error) => assert!(
            error.to_string().contains("hostile"),
            "{error} names no file"
        ),
    }
    let taken = MEMORY.peak_usage().saturating_sub(before);
    let allowed = bytes.len() + constant;
    assert!(taken <= allowed, "{taken} bytes taken, {allowed} allowed");
    model
}

fn parse(bytes: &[u8]) -> Result<ModelFile, FormatError> {
    parse_within(bytes, 128 << 10)
}

/// The error that `bytes` must give.
#[track_caller]
fn refused(bytes: &[u8]) -> FormatError {
    parse(bytes).expect_err("a damaged file was accepted")
}

/// Looks at every value and every byte.
fn read_all(model: &ModelFile) {
    for (key, value) in model.metadata.iter() {
        assert!(!format!("{key} {value}").is_empty());
        if let Value::Array(array) = value {
            read_array(array);
        }
    }
    for tensor in model.weights.iter() {
        let sum: u64 = tensor
            .storage()
            .as_slice()
            .iter()
            .map(|&b| u64::from(b))
            .sum();
        assert!(sum <= 255 * tensor.storage().len() as u64);
        assert!(!tensor.is_empty());
    }
}

fn read_array(array: &Array) {
    match array {
        Array::Scalars(scalars) => assert_eq!(scalars.iter().count(), scalars.len()),
        Array::Strings(strings) => {
            assert!((0..strings.len()).all(|index| strings.get(index).is_some()));
        }
        Array::Arrays(arrays) => arrays.iter().for_each(read_array),
    }
}
