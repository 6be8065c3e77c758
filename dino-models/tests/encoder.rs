//! Encoders against `transformers` (`tools/tiny_encoders.py`).

use std::path::{Path, PathBuf};

use dino_kernels::Compute;
use dino_models::ModelError;
use dino_models::arch::{Loader, LoaderOptions, Registry};
use dino_models::encoder::{Encoder, Pooling, build_encoder};
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

fn open_folder(name: &str) -> ModelFile {
    Registry::default().open(path(name)).unwrap()
}

fn normalised_error(found: &Array2<f32>, expected: &Array2<f32>) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let error: f64 = found.iter().zip(expected).map(|(f, e)| square(f - e)).sum();
    error / expected.iter().map(|&e| square(e)).sum::<f64>()
}

#[test]
fn features_are_those_of_transformers() {
    for reference in references() {
        let (name, compute) = (&reference.name, Compute::new(2).unwrap());
        let texts: Vec<&[u32]> = reference.texts.iter().map(|(_, ids)| &ids[..]).collect();
        let found = [open(name), open_folder(name)].map(|file| {
            let encoder = load(&file, &compute, true).unwrap();
            let found = encoder.encode(&compute, &texts).unwrap();
            let error = normalised_error(&found, &reference.features);
            println!("{name}: {error:.1e}");
            assert!(error < 1e-10, "{name}: {error:.1e}");
            // Rounded to 8 bits on the way, features are still close.
            let rounded = load(&file, &compute, false).unwrap();
            let rounded = rounded.encode(&compute, &texts).unwrap();
            let error = normalised_error(&rounded, &reference.features);
            assert!(error < 1e-3, "{name}: {error:.1e}");
            (found, rounded)
        });
        assert_eq!(found[0], found[1], "{name}");
    }
}

#[test]
fn folders_say_how_vectors_are_made() {
    let compute = Compute::new(1).unwrap();
    for reference in references() {
        let name = &reference.name;
        let [file, folder] = [open(name), open_folder(name)].map(|file| {
            let encoder = load(&file, &compute, false).unwrap();
            encoder.config().clone()
        });
        assert!(file.pooling.is_some() && file.pooling == folder.pooling);
        assert_eq!((file.normalize, file.context_length), (None, 64));
        assert_eq!(folder.normalize, Some(name != "bert"));
        assert_eq!(folder.context_length, 48);
    }
}

/// The folder of `bert` with one file changed.
fn changed_folder(file: &str, content: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let files = [
        "config.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
    ];
    std::fs::create_dir(copy.path().join("1_Pooling")).unwrap();
    for name in files {
        std::fs::copy(path("bert").join(name), copy.path().join(name)).unwrap();
    }
    std::fs::write(copy.path().join(file), content).unwrap();
    copy
}

#[test]
fn modules_that_do_something_else_are_refused() {
    let kinds = |list: &str| format!(r#"[{{"type": "a.Transformer", "path": ""}}, {list}]"#);
    let pooling = r#"{"type": "a.Pooling", "path": "1_Pooling"}"#;
    let outside = r#"{"type": "a.Pooling", "path": "../bert"}"#;
    let dense = format!(r#"{pooling}, {{"type": "a.Dense", "path": "2_Dense"}}"#);
    let (dense, outside) = (kinds(&dense), kinds(outside));
    for (file, content, named) in [
        ("modules.json", dense.as_str(), "Dense"),
        ("modules.json", &outside, "../bert"),
        ("modules.json", "[]", "modules.json"),
        ("modules.json", "{", "modules.json"),
        (
            "1_Pooling/config.json",
            r#"{"pooling_mode_max_tokens": true}"#,
            "pooling_mode_max_tokens",
        ),
        (
            "1_Pooling/config.json",
            r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}"#,
            "pooling_mode_mean_tokens",
        ),
        ("1_Pooling/config.json", "{}", "pooling_mode"),
        (
            "sentence_bert_config.json",
            r#"{"do_lower_case": true}"#,
            "do_lower_case",
        ),
        (
            "config_sentence_transformers.json",
            r#"{"default_prompt_name": "query"}"#,
            "default_prompt_name",
        ),
    ] {
        let folder = changed_folder(file, content);
        let message = match Registry::default().open(folder.path()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        assert!(message.contains(named), "{content}: {message}");
    }
    // Newer versions of the library write one word.
    let folder = changed_folder("1_Pooling/config.json", r#"{"pooling_mode": "lasttoken"}"#);
    let file = Registry::default().open(folder.path()).unwrap();
    let encoder = load(&file, &Compute::new(1).unwrap(), false).unwrap();
    assert_eq!(encoder.config().pooling, Some(Pooling::Last));
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
