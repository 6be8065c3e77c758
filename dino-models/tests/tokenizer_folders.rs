//! Tokenizers of Hugging Face folders give the ids of the `tokenizers` and `sentencepiece` libraries
//! (`tools/tiny_folders.py`).

use dino_models::format::Metadata;
use dino_models::tokenizer::{EncodeOptions, Tokenizer, VocabularyTokenizer, read_folder};
use proptest::prelude::*;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/folders")
}

/// The folders, by name.
fn names() -> Vec<String> {
    let folders = std::fs::read_dir(golden()).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().into_string().unwrap()
    };
    let mut names: Vec<String> = folders.map(name).collect();
    names.sort();
    assert!(names.len() >= 28, "{names:?}");
    names
}

fn tokenizer(folder: &Path) -> Result<VocabularyTokenizer, Box<dyn std::error::Error>> {
    let mut metadata = Metadata::new("m");
    read_folder(folder, &mut metadata)?;
    Ok(VocabularyTokenizer::from_metadata(&metadata)?)
}

fn ids(json: &Value) -> Vec<u32> {
    let ids = json.as_array().unwrap().iter();
    ids.map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn ids_and_texts_are_those_of_the_libraries() {
    let mut wrong = Vec::new();
    let mut compared = 0;
    for name in names() {
        let tokenizer = tokenizer(&golden().join(&name)).unwrap();
        let cases = std::fs::read(golden().join(&name).join("ids.json")).unwrap();
        let cases: Vec<Value> = serde_json::from_slice(&cases).unwrap();
        assert!(cases.len() > 30);
        for case in cases {
            let text = case["text"].as_str().unwrap();
            // SentencePiece itself reads no control tokens.
            let parse_special = case["ids"].is_array();
            for (key, add_special, parse_special) in [
                ("ids", false, true),
                ("framed", true, parse_special),
                ("plain", false, false),
            ] {
                if case[key].is_null() {
                    continue;
                }
                let options = EncodeOptions {
                    add_special,
                    parse_special,
                };
                let found = tokenizer.encode(text, options).unwrap();
                compared += 1;
                if found != ids(&case[key]) {
                    wrong.push(format!(
                        "{name} {text:?} {key}: {found:?} for {}",
                        case[key]
                    ));
                }
            }
            let found = tokenizer.decode(&ids(&case["plain"])).unwrap();
            if case["decoded"]
                .as_str()
                .is_some_and(|decoded| decoded != found)
            {
                wrong.push(format!(
                    "{name} {text:?}: {found:?} for {}",
                    case["decoded"]
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {compared}\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The folders whose tokens lose nothing: bytes, or characters with bytes where there is none.
static LOSSLESS: LazyLock<Vec<(String, VocabularyTokenizer)>> = LazyLock::new(|| {
    let names =
        "gpt2 smollm llama3 kimi roberta glm llama2 gemma sp_llama2 sp_gemma sp_unigram_bytes";
    let load = |name: &str| (name.to_owned(), tokenizer(&golden().join(name)).unwrap());
    names.split(' ').map(load).collect()
});

proptest! {
    #[test]
    fn decoding_inverts_encoding(text in r"[\PC\n\t ]{0,40}|[a-z <>|\u{301}\u{1F469}\u{200D}]{0,40}") {
        // These letters mean a space, or are cut together with a token.
        prop_assume!(!text.contains('\u{2581}') && !text.contains("MASK"));
        for (name, tokenizer) in &*LOSSLESS {
            let ids = tokenizer.encode(&text, EncodeOptions::default()).unwrap();
            prop_assert_eq!(&tokenizer.decode(&ids).unwrap(), &text, "{}: {:?}", name, ids);
        }
    }
}

#[test]
fn a_run_of_one_letter_takes_linear_time() {
    for name in names() {
        let tokenizer = tokenizer(&golden().join(&name)).unwrap();
        for letter in ["a", " ", "\n", "\u{301}", "1", "-", "中", "<"] {
            let text = letter.repeat((128 << 10) / letter.len());
            let start = Instant::now();
            let ids = tokenizer.encode(&text, EncodeOptions::default()).unwrap();
            let took = start.elapsed();
            assert!(
                took < Duration::from_secs(2),
                "{name}: {took:?} for {letter:?}, {} ids",
                ids.len()
            );
        }
    }
}

#[test]
fn what_is_not_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (name, from, to, named) in [
        (
            "llama3",
            r#""normalizer":null"#,
            r#""normalizer":{"type":"Shout"}"#,
            "normalizer is",
        ),
        ("llama3", r"\\p{N}{1,3}", r"(?=\\p{N})", "pre_tokenizer is"),
        (
            "llama3",
            r#""use_regex":false"#,
            r#""use_regex":false},{"type":"UnicodeScripts""#,
            "UnicodeScripts",
        ),
        (
            "llama3",
            r#""type":"BPE""#,
            r#""type":"WordLevel""#,
            "model.type",
        ),
        ("llama3", r#""merges":["#, r#""merges":[7,"#, "model.merges"),
        (
            "llama3",
            r#""TemplateProcessing""#,
            r#""Framing""#,
            "post_processor",
        ),
        (
            "roberta",
            r#""decoder":{"type":"ByteLevel""#,
            r#""decoder":{"type":"CTC""#,
            "decoder is",
        ),
        (
            "phi3",
            r#""dropout":null"#,
            r#""dropout":0.1"#,
            "model.dropout",
        ),
        (
            "bert",
            "subword_prefix\":\"##\"",
            "subword_prefix\":\"@@\"",
            "continuing_subword_prefix",
        ),
        (
            "t5",
            r#""precompiled_charsmap":""#,
            r#""precompiled_charsmap":"!"#,
            "Precompiled",
        ),
        (
            "glm",
            r#""ids":[340]"#,
            r#""ids":[99999]"#,
            "post_processor",
        ),
    ] {
        let text = std::fs::read_to_string(golden().join(name).join("tokenizer.json")).unwrap();
        assert!(text.contains(from), "{name}: {from}");
        let changed = text.replacen(from, to, 1);
        std::fs::write(folder.path().join("tokenizer.json"), changed).unwrap();
        let error = tokenizer(folder.path()).unwrap_err().to_string();
        assert!(error.contains(named), "{name}, {named}: {error}");
    }
}

#[test]
fn sentence_piece_files_that_are_not_read_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(golden().join("sp_unigram/tokenizer.model")).unwrap();
    let path = folder.path().join("tokenizer.model");
    // A field of the message about training at the end replaces what was said before.
    for (field, named) in [
        (&[0x12, 2, 0x18, 3][..], "model_type"),
        (&[0x12, 3, 0xc0, 1, 1], "treat_whitespace_as_suffix"),
        (&[0x1a, 2, 0x28, 0], "escape_whitespaces"),
        (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f], "SentencePiece"),
        (&[0x0a, 2, 0x0a, 1], "pieces["),
        (&[0x0a, 2, 0x18, 9], "type"),
        (&[0x1a, 4, 0x12, 2, 9, 9], "charsmap"),
    ] {
        std::fs::write(&path, [&bytes, field].concat()).unwrap();
        let error = tokenizer(folder.path()).unwrap_err().to_string();
        assert!(error.contains(named), "{named}: {error}");
    }
}

/// Cut short, or with a byte changed: an error, or a tokenizer that works.
#[test]
fn damage_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    for (name, file) in [
        ("sp_unigram", "tokenizer.model"),
        ("sp_gemma", "tokenizer.model"),
        ("t5", "tokenizer.json"),
        ("phi3", "tokenizer.json"),
        ("splits", "tokenizer.json"),
        ("bert", "tokenizer.json"),
    ] {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let bytes = std::fs::read(golden().join(name).join(file)).unwrap();
        let step = bytes.len() / 150 + 1;
        for at in (0..bytes.len()).step_by(step) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            for damaged in [&bytes[..at], &changed] {
                std::fs::write(folder.join(file), damaged).unwrap();
                if let Ok(tokenizer) = tokenizer(&folder) {
                    let options = EncodeOptions {
                        add_special: true,
                        parse_special: true,
                    };
                    let ids = tokenizer.encode("The river  é\n<user> 中", options);
                    let _ = ids.map(|ids| tokenizer.decode(&ids));
                }
            }
        }
    }
}
