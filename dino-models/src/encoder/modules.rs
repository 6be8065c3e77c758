//! The files that sentence-transformers puts around an encoder: what a text goes through, and where it is cut.
//!
//! <https://sbert.net/docs/sentence_transformer/usage/custom_models.html>

use crate::ModelError;
use crate::format::{FormatError, Metadata, json};
use serde_json::Value as Json;
use std::path::Path;

/// Whether vectors are made as long as 1.
pub(super) const NORMALIZE: &str = "sentence_transformers.normalize";
/// Tokens that a text is cut to.
pub(super) const MAX_TOKENS: &str = "sentence_transformers.max_seq_length";

/// GGUF's numbers of ways to pool, by the flags of `1_Pooling/config.json`.
const POOLINGS: [(&str, &str, u32); 3] = [
    ("pooling_mode_mean_tokens", "mean", 1),
    ("pooling_mode_cls_token", "cls", 2),
    ("pooling_mode_lasttoken", "lasttoken", 3),
];
/// The most bytes of one of these files.
const MAX_FILE: u64 = 1 << 20;

/// Puts what `modules.json` of `folder`, and the files that it names, say into `metadata`. A folder without it says
/// nothing.
///
/// # Errors
/// If a file is damaged, or a text goes through a module that is not known here.
pub(crate) fn read(folder: &Path, metadata: &mut Metadata) -> Result<(), ModelError> {
    let path = folder.join("modules.json");
    if !path.is_file() {
        return Ok(());
    }
    let list = json::read(&path, MAX_FILE)?;
    let modules = list.as_array().map(Vec::as_slice).unwrap_or_default();
    // `sentence_transformers.models.Pooling` and what newer versions write end in the same word.
    let kinds = modules.iter().map(|module| {
        let path = module["type"].as_str()?;
        path.rsplit('.').next()
    });
    let kinds: Vec<_> = kinds.collect();
    let normalize = match kinds.as_slice() {
        [Some("Transformer"), Some("Pooling")] => false,
        [Some("Transformer"), Some("Pooling"), Some("Normalize")] => true,
        _ => {
            return Err(ModelError::Unsupported {
                file: path,
                key: "type".into(),
                found: format!("{kinds:?}"),
            });
        }
    };
    metadata.insert(NORMALIZE, normalize);
    let inside = modules[1]["path"].as_str().filter(|name| is_plain(name));
    let inside = inside.ok_or_else(|| FormatError::WrongType {
        file: path.clone(),
        key: "path".into(),
        expected: "the name of a folder in this one".into(),
        found: modules[1]["path"].to_string(),
    })?;
    pooling(&folder.join(inside).join("config.json"), metadata)?;
    cut(&folder.join("sentence_bert_config.json"), metadata)?;
    prompts(&folder.join("config_sentence_transformers.json"))
}

/// Whether it names a folder beside the file: another path could lead outside.
fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', ':', '\0'])
}

/// How the features of tokens become those of a text.
fn pooling(path: &Path, metadata: &mut Metadata) -> Result<(), ModelError> {
    let config = json::read(path, MAX_FILE)?;
    let unsupported = |key: &str, found: String| ModelError::Unsupported {
        file: path.into(),
        key: key.into(),
        found,
    };
    let entries = config.as_object().into_iter().flatten();
    let mut asked: Vec<&str> = entries
        .filter(|(key, value)| key.starts_with("pooling_mode_") && **value == true)
        .map(|(key, _)| key.as_str())
        .collect();
    // Newer versions write one word.
    if let Some(word) = config["pooling_mode"].as_str() {
        let known = POOLINGS.iter().find(|(_, name, _)| *name == word);
        let known = known.ok_or_else(|| unsupported("pooling_mode", word.into()))?;
        asked = vec![known.0];
    }
    let known = |key: &str| POOLINGS.iter().find(|(flag, _, _)| *flag == key);
    let pooling = match asked.as_slice() {
        [one] => known(one).ok_or_else(|| unsupported(one, "true".into()))?.2,
        several => return Err(unsupported("pooling_mode", format!("{several:?}"))),
    };
    let key = format!("{}.pooling_type", metadata.architecture()?);
    metadata.insert_from("pooling_mode", key, pooling);
    Ok(())
}

/// Where a text is cut.
fn cut(path: &Path, metadata: &mut Metadata) -> Result<(), ModelError> {
    if !path.is_file() {
        return Ok(());
    }
    let config = json::read(path, MAX_FILE)?;
    if config["do_lower_case"] == true {
        return Err(ModelError::Unsupported {
            file: path.into(),
            key: "do_lower_case".into(),
            found: "true".into(),
        });
    }
    if let Some(tokens) = config["max_seq_length"].as_u64() {
        metadata.insert(MAX_TOKENS, tokens);
    }
    Ok(())
}

/// What is put before every text, which is nothing in all models that are known.
fn prompts(path: &Path) -> Result<(), ModelError> {
    if !path.is_file() {
        return Ok(());
    }
    match &json::read(path, MAX_FILE)?["default_prompt_name"] {
        Json::Null => Ok(()),
        name => Err(ModelError::Unsupported {
            file: path.into(),
            key: "default_prompt_name".into(),
            found: name.to_string(),
        }),
    }
}
