//! Encoders against `transformers` (`tools/tiny_encoders.py`).

use std::path::{Path, PathBuf};

use dino_kernels::Compute;
use dino_models::ModelError;
use dino_models::arch::{Loader, LoaderOptions, Registry};
use dino_models::encoder::{Encoder, build_encoder};
use dino_models::format::{Metadata, ModelFile, Value as MetadataValue};
use dino_models::tokenizer::{EncodeOptions, Tokenizer, VocabularyTokenizer};
use ndarray::{Array2, s};
use serde_json::Value;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden/tiny_encoders")
        .join(name)
}

/// What `transformers` made of one encoder.
struct Reference {
    name: String,
    texts: Vec<(String, Vec<u32>)>,
    /// `[tokens of all texts, hidden]`.
    features: Array2<f32>,
}

fn references() -> Vec<Reference> {
    let index: Vec<Value> =
        serde_json::from_slice(&std::fs::read(path("index.json")).unwrap()).unwrap();
    let read = |entry: &Value| {
        let name = entry["name"].as_str().unwrap().to_owned();
        let texts = entry["texts"].as_array().unwrap().iter().map(|text| {
            let ids = serde_json::from_value(text["ids"].clone()).unwrap();
            (text["text"].as_str().unwrap().to_owned(), ids)
        });
        let texts: Vec<(String, Vec<u32>)> = texts.collect();
        let bytes = std::fs::read(path(&format!("{name}.f32"))).unwrap();
        let values = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
        let tokens: usize = texts.iter().map(|(_, ids)| ids.len()).sum();
        let shape = (tokens, bytes.len() / 4 / tokens);
        Reference {
            features: Array2::from_shape_vec(shape, values.collect()).unwrap(),
            name,
            texts,
        }
    };
    index.iter().map(read).collect()
}

fn load(
    file: &ModelFile,
    compute: &Compute,
    precise: bool,
) -> Result<Box<dyn Encoder>, ModelError> {
    let options = LoaderOptions {
        precise,
        ..LoaderOptions::default()
    };
    build_encoder(&mut Loader::new(file, compute, options))
}

fn open(name: &str) -> ModelFile {
    ModelFile::open(path(&format!("{name}.gguf"))).unwrap()
}

fn normalised_error(found: &Array2<f32>, expected: &Array2<f32>) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let error: f64 = found.iter().zip(expected).map(|(f, e)| square(f - e)).sum();
    error / expected.iter().map(|&e| square(e)).sum::<f64>()
}

#[test]
fn features_are_those_of_transformers() {
    for reference in references() {
        let (file, compute) = (open(&reference.name), Compute::new(2).unwrap());
        let encoder = load(&file, &compute, true).unwrap();
        let texts: Vec<&[u32]> = reference.texts.iter().map(|(_, ids)| &ids[..]).collect();
        let found = encoder.encode(&compute, &texts).unwrap();
        let error = normalised_error(&found, &reference.features);
        println!("{}: {error:.1e}", reference.name);
        assert!(error < 1e-10, "{}: {error:.1e}", reference.name);
        // Rounded to 8 bits on the way, features are still close.
        let rounded = load(&file, &compute, false).unwrap();
        let found = rounded.encode(&compute, &texts).unwrap();
        let error = normalised_error(&found, &reference.features);
        assert!(error < 1e-3, "{}: {error:.1e}", reference.name);
    }
}

#[test]
fn ids_are_those_of_the_reference() {
    for reference in references() {
        let file = open(&reference.name);
        let tokenizer = VocabularyTokenizer::from_metadata(&file.metadata).unwrap();
        for (text, ids) in &reference.texts {
            let options = EncodeOptions {
                add_special: true,
                parse_special: false,
            };
            assert_eq!(&tokenizer.encode(text, options).unwrap(), ids, "{text:?}");
        }
    }
}

#[test]
fn texts_of_a_batch_do_not_meet_and_threads_change_nothing() {
    for reference in references() {
        let file = open(&reference.name);
        let texts: Vec<&[u32]> = reference.texts.iter().map(|(_, ids)| &ids[..]).collect();
        let results = [1, 3].map(|threads| {
            let compute = Compute::new(threads).unwrap();
            let encoder = load(&file, &compute, false).unwrap();
            let together = encoder.encode(&compute, &texts).unwrap();
            let mut start = 0;
            for text in &texts {
                let alone = encoder.encode(&compute, &[text]).unwrap();
                assert_eq!(together.slice(s![start..start + text.len(), ..]), alone);
                start += text.len();
            }
            together
        });
        assert_eq!(results[0], results[1]);
    }
}

#[test]
fn what_cannot_be_run_is_named() {
    let (file, compute) = (open("bert"), Compute::new(1).unwrap());
    let encoder = load(&file, &compute, false).unwrap();
    let beyond = encoder.config().vocabulary as u32;
    let error = encoder.encode(&compute, &[&[1], &[beyond]]).unwrap_err();
    assert!(matches!(error, ModelError::TokenOutOfRange { token, .. } if token == beyond));
    let long = vec![1; encoder.config().context_length + 1];
    let error = encoder.encode(&compute, &[&long]).unwrap_err();
    assert!(matches!(error, ModelError::ContextOverflow { .. }));
    assert_eq!(encoder.encode(&compute, &[]).unwrap().nrows(), 0);
    // As a language model it cannot be loaded, and the error says what to do.
    let options = LoaderOptions::default();
    let error = Registry::default().build(&mut Loader::new(&file, &compute, options));
    let message = error.err().unwrap().to_string();
    assert!(message.contains("encoder"), "{message}");
}

#[test]
fn damaged_files_are_refused() {
    let compute = Compute::new(1).unwrap();
    let whole = || open("bert");
    let changes: [(&str, Option<MetadataValue>); 9] = [
        ("bert.embedding_length", Some(31_u32.into())),
        ("bert.embedding_length", None),
        ("bert.block_count", Some(0_u32.into())),
        ("bert.block_count", Some(5000_u32.into())),
        ("bert.attention.head_count", Some(5_u32.into())),
        ("bert.attention.causal", Some(true.into())),
        ("bert.attention.layer_norm_epsilon", Some(f32::NAN.into())),
        ("bert.pooling_type", Some(9_u32.into())),
        ("bert.no_such_key", Some(1_u32.into())),
    ];
    for (key, value) in changes {
        let file = whole();
        let mut metadata = Metadata::new(file.metadata.file());
        for (name, old) in file.metadata.iter().filter(|(name, _)| *name != key) {
            metadata.insert(name, old.clone());
        }
        if let Some(value) = value {
            metadata.insert(key, value);
        }
        let file = ModelFile { metadata, ..file };
        let message = load(&file, &compute, false).err().unwrap().to_string();
        assert!(message.contains("bert."), "{key}: {message}");
    }
}
