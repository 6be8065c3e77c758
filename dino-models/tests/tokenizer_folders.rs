//! Tokenizers of Hugging Face folders give the ids of the `tokenizers` library (`tools/tiny_folders.py`).

use dino_models::format::Metadata;
use dino_models::tokenizer::{EncodeOptions, Tokenizer, VocabularyTokenizer, read_folder};
use serde_json::Value;
use std::path::{Path, PathBuf};

const NAMES: [&str; 6] = ["gpt2", "smollm", "llama3", "qwen2", "llama2", "gemma"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden/folders")
        .join(name)
}

fn ids(json: &Value) -> Vec<u32> {
    let ids = json.as_array().unwrap().iter();
    ids.map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn ids_are_those_of_the_library() {
    for name in NAMES {
        let mut metadata = Metadata::new(name);
        read_folder(&folder(name), &mut metadata).unwrap();
        let tokenizer = VocabularyTokenizer::from_metadata(&metadata).unwrap();
        let cases = std::fs::read(folder(name).join("ids.json")).unwrap();
        let cases: Vec<Value> = serde_json::from_slice(&cases).unwrap();
        assert!(cases.len() > 20);
        for case in cases {
            let text = case["text"].as_str().unwrap();
            for (key, add_special) in [("ids", false), ("framed", true)] {
                let options = EncodeOptions {
                    add_special,
                    parse_special: true,
                };
                let found = tokenizer.encode(text, options).unwrap();
                assert_eq!(found, ids(&case[key]), "{name}: {text:?}, {key}");
            }
        }
    }
}

#[test]
fn what_is_not_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(self::folder("llama3").join("tokenizer.json")).unwrap();
    for (from, to, key) in [
        (
            "\"normalizer\":null",
            "\"normalizer\":{\"type\":\"Lowercase\"}",
            "normalizer",
        ),
        ("\\\\p{N}{1,3}", "\\\\p{N}{1,4}", "pre_tokenizer"),
        ("\"type\":\"BPE\"", "\"type\":\"WordLevel\"", "model.type"),
        ("\"lstrip\":false", "\"lstrip\":true", "lstrip"),
        ("\"merges\":[", "\"merges\":[7,", "model.merges"),
        (
            "\"TemplateProcessing\"",
            "\"RobertaProcessing\"",
            "post_processor",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        std::fs::write(
            folder.path().join("tokenizer.json"),
            text.replacen(from, to, 1),
        )
        .unwrap();
        let error = read_folder(folder.path(), &mut Metadata::new("m")).unwrap_err();
        assert!(error.to_string().contains(key), "{key}: {error}");
    }
}
