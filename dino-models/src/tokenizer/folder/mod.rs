//! The tokenizer of a Hugging Face folder, as the keys that GGUF files hold for the same vocabulary.
//!
//! `json` reads `tokenizer.json`; where a folder has none, `sentence_piece` reads SentencePiece's `tokenizer.model`. What
//! GGUF's keys cannot say of the first is kept beside them and done by `pipeline`.

mod json;
mod roles;
mod sentence_piece;
mod vocabulary;

use std::path::Path;

use serde_json::Value as Json;

use self::json::TokenizerJson;
use self::sentence_piece::SentencePieceFile;
use crate::format::json as files;
use crate::format::{FormatError, Metadata, Value};

/// The most bytes of a `tokenizer.json` or `tokenizer.model`.
const MAX_FILE: u64 = 256 << 20;

/// Puts what `tokenizer.json` or `tokenizer.model`, `tokenizer_config.json`, `chat_template.jinja` and
/// `generation_config.json` of `folder` say into `metadata`, under `tokenizer.*` and `general.sampling.*`. A folder without
/// them has no tokenizer.
///
/// # Errors
/// If a file is damaged, or holds a tokenizer that is not read here.
pub fn read(folder: &Path, metadata: &mut Metadata) -> Result<(), FormatError> {
    let optional = |name: &str| -> Result<Json, FormatError> {
        let path = folder.join(name);
        match path.is_file() {
            true => files::read(&path, MAX_FILE),
            false => Ok(Json::Null),
        }
    };
    let config = optional("tokenizer_config.json")?;
    let generation = optional("generation_config.json")?;
    let path = folder.join("tokenizer.json");
    let model = folder.join("tokenizer.model");
    if path.is_file() {
        let json = files::read(&path, MAX_FILE)?;
        let file = TokenizerJson {
            path: &path,
            json: &json,
        };
        let mut vocabulary = file.vocabulary()?;
        file.model(&mut vocabulary, metadata)?;
        roles::write(&vocabulary, &file.frame()?, &config, &generation, metadata);
        vocabulary.write(metadata);
    } else if model.is_file() {
        let added = optional("added_tokens.json")?;
        let file = SentencePieceFile::read(&model)?;
        let vocabulary = file.vocabulary(&config, &added)?;
        let frame = file.frame(&vocabulary, &config);
        file.write(metadata);
        roles::write(&vocabulary, &frame, &config, &generation, metadata);
        vocabulary.write(metadata);
    }
    template(folder, &config, metadata)?;
    sampling(&generation, metadata);
    Ok(())
}

/// The chat template: a file of its own, or in the tokenizer's configuration.
fn template(folder: &Path, config: &Json, metadata: &mut Metadata) -> Result<(), FormatError> {
    let path = folder.join("chat_template.jinja");
    let template = match path.is_file() {
        true => Some(files::text(&path, MAX_FILE)?),
        false => {
            let template = &config["chat_template"];
            let list = template.as_array().into_iter().flatten();
            let mut default = list.filter(|entry| entry["name"] == "default");
            let default = default.next().map(|entry| &entry["template"]);
            default.unwrap_or(template).as_str().map(str::to_owned)
        }
    };
    if let Some(template) = template {
        metadata.insert("tokenizer.chat_template", template);
    }
    Ok(())
}

/// What `generation_config.json` samples with, under GGUF's names.
fn sampling(generation: &Json, metadata: &mut Metadata) {
    const KEYS: [(&str, &str); 5] = [
        ("temperature", "general.sampling.temp"),
        ("top_k", "general.sampling.top_k"),
        ("top_p", "general.sampling.top_p"),
        ("min_p", "general.sampling.min_p"),
        ("repetition_penalty", "general.sampling.penalty_repeat"),
    ];
    if generation["do_sample"] != true {
        return;
    }
    for (theirs, ours) in KEYS {
        let value = match &generation[theirs] {
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Value::I64(whole),
                (_, Some(number)) => Value::F64(number),
                _ => continue,
            },
            _ => continue,
        };
        metadata.insert(ours, value);
    }
}
