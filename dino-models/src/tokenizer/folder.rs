//! The tokenizer of a Hugging Face folder, as the keys that GGUF files hold for the same vocabulary.
//!
//! `tokenizer.json` is a pipeline of parts (<https://huggingface.co/docs/tokenizers/components>). Two kinds of it are
//! what the tokenizers here do: byte-level BPE whose words one of the known pre-tokenizers cuts, and SentencePiece's BPE
//! with byte fallback. A part that means anything else is an error that names it.

use super::pretokenizer;
use crate::format::{FormatError, Metadata, StringArray, Value, json};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

/// The most bytes of a `tokenizer.json`.
const MAX_FILE: u64 = 256 << 20;
/// Ids that no token has, between those of the vocabulary and of added tokens.
const MAX_GAP: usize = 1 << 16;
/// The space of SentencePiece vocabularies.
const SPACE: &str = "\u{2581}";

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// Puts what `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja` and `generation_config.json` of `folder`
/// say into `metadata`, under `tokenizer.ggml.*` and `general.sampling.*`. A folder without them has no tokenizer.
///
/// # Errors
/// If a file is damaged, or holds a tokenizer that is not read here.
pub fn read(folder: &Path, metadata: &mut Metadata) -> Result<(), FormatError> {
    let optional = |name: &str| -> Result<Json, FormatError> {
        let path = folder.join(name);
        match path.is_file() {
            true => json::read(&path, MAX_FILE),
            false => Ok(Json::Null),
        }
    };
    let config = optional("tokenizer_config.json")?;
    let generation = optional("generation_config.json")?;
    let path = folder.join("tokenizer.json");
    if path.is_file() {
        let json = json::read(&path, MAX_FILE)?;
        let pipeline = Pipeline { path, json: &json };
        let vocabulary = pipeline.vocabulary()?;
        pipeline.model(&vocabulary, metadata)?;
        pipeline.roles(&vocabulary, &config, &generation, metadata)?;
        vocabulary.write(metadata);
    }
    template(folder, &config, metadata)?;
    sampling(&generation, metadata);
    Ok(())
}

/// Tokens by id, and their types.
struct Vocabulary {
    tokens: Vec<String>,
    types: Vec<i32>,
}

impl Vocabulary {
    fn id(&self, text: &str) -> Option<u32> {
        let id = self.tokens.iter().position(|token| token == text)?;
        u32::try_from(id).ok()
    }

    fn write(self, metadata: &mut Metadata) {
        let tokens: StringArray = self.tokens.iter().collect();
        metadata.insert("tokenizer.ggml.tokens", tokens);
        metadata.insert("tokenizer.ggml.token_type", self.types);
    }
}

struct Pipeline<'a> {
    path: PathBuf,
    json: &'a Json,
}

impl<'a> Pipeline<'a> {
    fn unsupported(&self, key: &str, found: &Json) -> FormatError {
        let found = found.to_string();
        FormatError::WrongType {
            file: self.path.clone(),
            key: key.into(),
            expected: "what is read here (docs/formats.md); give ModelBuilder::tokenizer another"
                .into(),
            found: found.chars().take(200).collect(),
        }
    }

    fn vocabulary(&self) -> Result<Vocabulary, FormatError> {
        let model = &self.json["model"];
        let Some(entries) = model["vocab"].as_object() else {
            return Err(self.unsupported("model.vocab", &model["type"]));
        };
        let none = Vec::new();
        let added = self.json["added_tokens"].as_array().unwrap_or(&none);
        let most = entries.len() + added.len() + MAX_GAP;
        let id = |key: &str, json: &Json| {
            let id = json.as_u64().and_then(|id| usize::try_from(id).ok());
            id.filter(|&id| id < most)
                .ok_or_else(|| self.unsupported(key, json))
        };
        let mut tokens: Vec<Option<(String, i32)>> = Vec::new();
        let mut set = |id: usize, text: &str, kind: i32| {
            if tokens.len() <= id {
                tokens.resize(id + 1, None);
            }
            tokens[id] = Some((text.to_owned(), kind));
        };
        let unknown = model["unk_token"].as_str();
        for (text, json) in entries {
            let kind = match text.as_str() {
                text if Some(text) == unknown => UNKNOWN,
                text if model["byte_fallback"] == true && is_byte(text) => BYTE,
                _ => NORMAL,
            };
            set(id("model.vocab", json)?, text, kind);
        }
        for token in added {
            let (Some(text), special) = (token["content"].as_str(), &token["special"]) else {
                return Err(self.unsupported("added_tokens", token));
            };
            let strips = ["lstrip", "rstrip", "single_word"];
            if let Some(flag) = strips.iter().find(|flag| token[**flag] == true) {
                return Err(self.unsupported(&format!("added_tokens.{flag}"), token));
            }
            let kind = match special.as_bool() {
                _ if Some(text) == unknown => UNKNOWN,
                Some(true) => CONTROL,
                _ => USER_DEFINED,
            };
            set(id("added_tokens", &token["id"])?, text, kind);
        }
        let filler = |index| (format!("[PAD{index}]"), UNUSED);
        let tokens = tokens.into_iter().enumerate();
        let (tokens, types) = tokens
            .map(|(index, token)| token.unwrap_or_else(|| filler(index)))
            .unzip();
        Ok(Vocabulary { tokens, types })
    }

    /// The kind of vocabulary, its merges, and how words are cut.
    fn model(&self, vocabulary: &Vocabulary, metadata: &mut Metadata) -> Result<(), FormatError> {
        let model = &self.json["model"];
        let kind = &model["type"];
        if *kind != "BPE" {
            return Err(self.unsupported("model.type", kind));
        }
        for key in ["dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
            let value = &model[key];
            if !(value.is_null() || *value == "" || value.as_f64() == Some(0.0)) {
                return Err(self.unsupported(&format!("model.{key}"), value));
            }
        }
        let merges = self.merges()?;
        match model["byte_fallback"] == true {
            true => self.sentence_piece(vocabulary, &merges, metadata),
            false => self.byte_level(merges, metadata),
        }
    }

    fn merges(&self) -> Result<Vec<(&'a str, &'a str)>, FormatError> {
        let merges = &self.json["model"]["merges"];
        let split = |merge: &'a Json| match merge {
            Json::String(text) => text.split_once(' '),
            Json::Array(pair) => match pair.as_slice() {
                [left, right] => left.as_str().zip(right.as_str()),
                _ => None,
            },
            _ => None,
        };
        let list = merges
            .as_array()
            .map(|list| list.iter().map(split).collect());
        let pairs: Option<Vec<_>> = list.unwrap_or(None);
        pairs.ok_or_else(|| self.unsupported("model.merges", &Json::Null))
    }

    fn byte_level(
        &self,
        merges: Vec<(&str, &str)>,
        metadata: &mut Metadata,
    ) -> Result<(), FormatError> {
        // Text is nearly always in this form already; like llama.cpp, nothing here changes text that is not.
        let normalizer = &self.json["normalizer"];
        if !normalizer.is_null() && normalizer["type"] != "NFC" {
            return Err(self.unsupported("normalizer", normalizer));
        }
        let mut cuts = Vec::new();
        self.cuts(&self.json["pre_tokenizer"], &mut cuts)?;
        let whole_words = self.json["model"]["ignore_merges"] == true;
        let name = pretokenizer::name_of(&cuts, whole_words);
        let name =
            name.ok_or_else(|| self.unsupported("pre_tokenizer", &self.json["pre_tokenizer"]))?;
        let merges = merges
            .into_iter()
            .map(|(left, right)| format!("{left} {right}"));
        metadata.insert("tokenizer.ggml.model", "gpt2");
        metadata.insert("tokenizer.ggml.pre", name);
        metadata.insert("tokenizer.ggml.merges", merges.collect::<StringArray>());
        Ok(())
    }

    /// The patterns that text is cut by, one after another, before its bytes are spelt as letters.
    fn cuts(&self, part: &Json, cuts: &mut Vec<String>) -> Result<(), FormatError> {
        const GPT2: &str =
            r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
        let refused = || Err(self.unsupported("pre_tokenizer", part));
        match part["type"].as_str() {
            Some("Sequence") => {
                let none = Vec::new();
                let parts = part["pretokenizers"].as_array().unwrap_or(&none);
                return parts.iter().try_for_each(|part| self.cuts(part, cuts));
            }
            Some("ByteLevel") if part["add_prefix_space"] != true => {
                if part["use_regex"] != false {
                    cuts.push(GPT2.into());
                }
            }
            Some("Digits") => cuts.push(match part["individual_digits"] == true {
                true => r"\p{N}".into(),
                false => r"\p{N}+".into(),
            }),
            Some("Split") if part["behavior"] == "Isolated" && part["invert"] != true => {
                match part["pattern"]["Regex"].as_str() {
                    Some(pattern) => cuts.push(pattern.into()),
                    None => return refused(),
                }
            }
            _ => return refused(),
        }
        Ok(())
    }

    /// SentencePiece merges what has the best score; the earlier a merge, the better.
    fn sentence_piece(
        &self,
        vocabulary: &Vocabulary,
        merges: &[(&str, &str)],
        metadata: &mut Metadata,
    ) -> Result<(), FormatError> {
        let prefix = self.spaces()?;
        let mut ranks = std::collections::HashMap::with_capacity(merges.len());
        for (rank, (left, right)) in merges.iter().enumerate() {
            ranks.entry(format!("{left}{right}")).or_insert(rank);
        }
        let last = merges.len();
        let score = |token| -(*ranks.get(token).unwrap_or(&last) as f32);
        let scores: Vec<f32> = vocabulary.tokens.iter().map(score).collect();
        metadata.insert("tokenizer.ggml.model", "llama");
        metadata.insert("tokenizer.ggml.scores", scores);
        metadata.insert("tokenizer.ggml.add_space_prefix", prefix);
        let unknown = self.json["model"]["unk_token"].as_str();
        if let Some(id) = unknown.and_then(|text| vocabulary.id(text)) {
            metadata.insert("tokenizer.ggml.unknown_token_id", id);
        }
        Ok(())
    }

    /// Makes sure that spaces become SentencePiece's and nothing else happens; whether one is put in front.
    fn spaces(&self) -> Result<bool, FormatError> {
        let normalizer = &self.json["normalizer"];
        let parts = match normalizer["type"].as_str() {
            Some("Sequence") => normalizer["normalizers"].as_array().cloned(),
            Some(_) => Some(vec![normalizer.clone()]),
            None => None,
        };
        let (mut prefix, mut replaced) = (false, false);
        for part in parts.unwrap_or_default() {
            match part["type"].as_str() {
                Some("Prepend") if part["prepend"] == SPACE => prefix = true,
                Some("Replace") if part["pattern"]["String"] == " " && part["content"] == SPACE => {
                    replaced = true;
                }
                _ => return Err(self.unsupported("normalizer", &part)),
            }
        }
        let cutter = &self.json["pre_tokenizer"];
        match cutter["type"].as_str() {
            None => {}
            Some("Metaspace") if cutter["replacement"] == SPACE && cutter["split"] == false => {
                replaced = true;
                prefix |=
                    cutter["prepend_scheme"] != "never" && cutter["add_prefix_space"] != false;
            }
            // Gemma's, whose spaces are no longer there when it looks for them.
            Some("Split") if cutter["pattern"]["String"] == " " && replaced => {}
            _ => return Err(self.unsupported("pre_tokenizer", cutter)),
        }
        match replaced {
            true => Ok(prefix),
            false => Err(self.unsupported("normalizer", normalizer)),
        }
    }

    /// Which tokens begin and end a text, and whether they are added.
    fn roles(
        &self,
        vocabulary: &Vocabulary,
        config: &Json,
        generation: &Json,
        metadata: &mut Metadata,
    ) -> Result<(), FormatError> {
        let named = |key: &str| {
            let token = &config[key];
            let text = token.as_str().or_else(|| token["content"].as_str());
            text.and_then(|text| vocabulary.id(text))
        };
        let (first, last) = self.frame(&self.json["post_processor"])?;
        let id = |text: Option<String>| text.and_then(|text| vocabulary.id(&text));
        let (first, last) = (id(first), id(last));
        let stated = |key: &str| config[key] == true;
        metadata.insert(
            "tokenizer.ggml.add_bos_token",
            first.is_some() || stated("add_bos_token"),
        );
        metadata.insert(
            "tokenizer.ggml.add_eos_token",
            last.is_some() || stated("add_eos_token"),
        );
        if let Some(bos) = first.or_else(|| named("bos_token")) {
            metadata.insert("tokenizer.ggml.bos_token_id", bos);
        }
        let mut ends: Vec<u32> = last.or_else(|| named("eos_token")).into_iter().collect();
        let listed = &generation["eos_token_id"];
        let listed = listed
            .as_array()
            .map_or(std::slice::from_ref(listed), Vec::as_slice);
        for end in listed.iter().filter_map(Json::as_u64) {
            let end = u32::try_from(end).ok();
            ends.extend(end.filter(|end| !ends.contains(end)));
        }
        let keys = ["eos", "eot", "eom"].map(|role| format!("tokenizer.ggml.{role}_token_id"));
        for (key, end) in keys.into_iter().zip(ends) {
            metadata.insert(key, end);
        }
        if let Some(pad) = named("pad_token") {
            metadata.insert("tokenizer.ggml.padding_token_id", pad);
        }
        Ok(())
    }

    /// The special tokens that a post-processor puts before and behind a text.
    fn frame(&self, processor: &Json) -> Result<(Option<String>, Option<String>), FormatError> {
        let mut frame = (None, None);
        match processor["type"].as_str() {
            None | Some("ByteLevel") => {}
            Some("Sequence") => {
                for part in processor["processors"].as_array().into_iter().flatten() {
                    let (first, last) = self.frame(part)?;
                    frame = (frame.0.or(first), frame.1.or(last));
                }
            }
            Some("TemplateProcessing") => {
                let mut behind = false;
                for piece in processor["single"].as_array().into_iter().flatten() {
                    let token = piece["SpecialToken"]["id"].as_str().map(str::to_owned);
                    let place = if behind { &mut frame.1 } else { &mut frame.0 };
                    match token {
                        None => behind = true,
                        Some(_) if place.is_some() => {
                            return Err(self.unsupported("post_processor.single", processor));
                        }
                        token => *place = token,
                    }
                }
            }
            _ => return Err(self.unsupported("post_processor", processor)),
        }
        Ok(frame)
    }
}

/// Whether a token stands for one byte: `<0x0A>`.
fn is_byte(text: &str) -> bool {
    let digits = text
        .strip_prefix("<0x")
        .and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && u8::from_str_radix(digits, 16).is_ok())
}

/// The chat template: a file of its own, or in the tokenizer's configuration.
fn template(folder: &Path, config: &Json, metadata: &mut Metadata) -> Result<(), FormatError> {
    let path = folder.join("chat_template.jinja");
    let template = match path.is_file() {
        true => Some(json::text(&path, MAX_FILE)?),
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
