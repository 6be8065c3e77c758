//! Bytes as a GGUF file.
#![no_main]

use dino_core::Storage;
use dino_models::format::{Array, ModelFile, Value};
use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What a file may take beyond its own size.
const CONSTANT: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let storage = Storage::from_vec(bytes.to_vec());
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    match ModelFile::from_storage("fuzz.gguf", &storage) {
        Ok(model) => read_all(&model),
        Err(error) => assert!(error.to_string().contains("fuzz")),
    }
    let taken = MEMORY.peak_usage().saturating_sub(before);
    assert!(taken <= bytes.len() + CONSTANT, "{taken} bytes taken");
});

fn read_all(model: &ModelFile) {
    for (key, value) in model.metadata.iter() {
        assert!(!format!("{key}{value}").is_empty());
        if let Value::Array(array) = value {
            read_array(array);
        }
        // Every conversion, whether it fits or not.
        let _ = model.metadata.get::<usize>(key);
        let _ = model.metadata.get::<f32>(key);
        let _ = model.metadata.get::<&str>(key);
        let _ = model.metadata.get::<bool>(key);
        let _ = model.metadata.per_layer::<i32>(key, 3);
    }
    for tensor in model.weights.iter() {
        assert_eq!(
            tensor.row(tensor.rows() - 1).len() * tensor.rows(),
            tensor.storage().len()
        );
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
