//! A Hugging Face folder: one of its files is what the fuzzer says. It is refused, or read and used.
#![no_main]

use arbitrary::Arbitrary;
use dino_models::format::{Metadata, ModelFile};
use dino_models::tokenizer::{EncodeOptions, Tokenizer, VocabularyTokenizer, read_folder};
use libfuzzer_sys::fuzz_target;

const TOKENIZER: &str = include_str!("../../tests/golden/folders/t5/tokenizer.json");

/// The file that is the fuzzer's own.
#[derive(Arbitrary, Debug)]
enum File<'a> {
    Config(&'a str),
    Safetensors(&'a [u8]),
    Index(&'a str),
    TokenizerModel(&'a [u8]),
    TokenizerJson(&'a str),
    /// A part of a `tokenizer.json` in place of that of a valid one.
    Part(u8, &'a str),
    TokenizerConfig(&'a str),
}

fuzz_target!(|file: File<'_>| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let put = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).expect("a file in it");
    };
    put("config.json", br#"{"model_type": "llama"}"#);
    match file {
        File::Config(text) => put("config.json", text.as_bytes()),
        File::Safetensors(bytes) => put("model.safetensors", bytes),
        File::Index(text) => put("model.safetensors.index.json", text.as_bytes()),
        File::TokenizerModel(bytes) => put("tokenizer.model", bytes),
        File::TokenizerJson(text) => put("tokenizer.json", text.as_bytes()),
        File::Part(place, text) => put("tokenizer.json", with_part(place, text).as_bytes()),
        File::TokenizerConfig(text) => {
            put("tokenizer.json", TOKENIZER.as_bytes());
            put("tokenizer_config.json", text.as_bytes());
        }
    }
    let _ = ModelFile::open(folder.path());
    let mut metadata = Metadata::new("fuzz");
    if read_folder(folder.path(), &mut metadata).is_err() {
        return;
    }
    if let Ok(tokenizer) = VocabularyTokenizer::from_metadata(&metadata) {
        let options = EncodeOptions {
            add_special: true,
            parse_special: true,
        };
        let ids = tokenizer.encode("The river  e\u{301}\n</s> \u{4e2d} 1234", options);
        let _ = ids.map(|ids| tokenizer.decode(&ids));
    }
});

fn with_part(place: u8, text: &str) -> String {
    const PARTS: [&str; 6] = [
        "normalizer",
        "pre_tokenizer",
        "post_processor",
        "decoder",
        "added_tokens",
        "model",
    ];
    let mut json: serde_json::Value = serde_json::from_str(TOKENIZER).expect("a valid file");
    if let Ok(part) = serde_json::from_str(text) {
        json[PARTS[usize::from(place) % PARTS.len()]] = part;
    }
    json.to_string()
}
