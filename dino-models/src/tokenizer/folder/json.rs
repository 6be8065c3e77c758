//! `tokenizer.json`: as GGUF's keys where they say the same, else with its parts beside them (`pipeline`).

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value as Json};

use super::super::pipeline::{self, Frame};
use super::super::pretokenizer;
use super::super::sentence_piece::SPACE;
use super::vocabulary::{
    BYTE, CONTROL, MAX_GAP, NORMAL, UNKNOWN, USER_DEFINED, Vocabulary, is_byte,
};
use crate::format::{FormatError, Metadata, StringArray};

/// SentencePiece's space as a text.
const MARK: &str = "\u{2581}";

/// A `tokenizer.json`.
#[derive(Debug)]
pub(super) struct TokenizerJson<'a> {
    pub(super) path: &'a Path,
    pub(super) json: &'a Json,
}

/// What GGUF's keys can say of a tokenizer.
enum Form {
    /// Bytes spelt as letters, cut by a pre-tokenizer of this name.
    ByteLevel(&'static str),
    /// Merges by scores, with a space in front or not.
    SentencePiece { prefix: bool },
}

impl<'a> TokenizerJson<'a> {
    fn unsupported(&self, key: &str, found: &Json) -> FormatError {
        let found = found.to_string();
        FormatError::WrongType {
            file: self.path.into(),
            key: key.into(),
            expected: "what is read here (docs/formats.md); give ModelBuilder::tokenizer another"
                .into(),
            found: found.chars().take(200).collect(),
        }
    }

    /// The tokens with their types, and their scores if it is a unigram model.
    pub(super) fn vocabulary(&self) -> Result<Vocabulary, FormatError> {
        let model = &self.json["model"];
        let mut vocabulary = Vocabulary::default();
        let added = self.json["added_tokens"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let unknown = self.unknown_token();
        let fallback = model["byte_fallback"] == true;
        let kind = |text: &str| match text {
            text if Some(text) == unknown => UNKNOWN,
            text if fallback && is_byte(text) => BYTE,
            _ => NORMAL,
        };
        let id = |key: &str, json: &Json, most: usize| {
            let id = json.as_u64().and_then(|id| usize::try_from(id).ok());
            id.filter(|&id| id < most)
                .ok_or_else(|| self.unsupported(key, json))
        };
        let count = match &model["vocab"] {
            Json::Object(entries) => {
                let most = entries.len() + added.len() + MAX_GAP;
                for (text, json) in entries {
                    vocabulary.set(id("model.vocab", json, most)?, text, kind(text));
                }
                entries.len()
            }
            Json::Array(entries) => {
                for (id, entry) in entries.iter().enumerate() {
                    let found = entry[0].as_str().zip(entry[1].as_f64());
                    let (text, score) =
                        found.ok_or_else(|| self.unsupported("model.vocab", entry))?;
                    vocabulary.set(id, text, kind(text));
                    vocabulary.scores.push(score as f32);
                }
                entries.len()
            }
            _ => return Err(self.unsupported("model.vocab", &model["type"])),
        };
        for token in added {
            let Some(text) = token["content"].as_str() else {
                return Err(self.unsupported("added_tokens", token));
            };
            let kind = match token["special"] == true {
                _ if Some(text) == unknown => UNKNOWN,
                true => CONTROL,
                false => USER_DEFINED,
            };
            let most = count + added.len() + MAX_GAP;
            vocabulary.set(id("added_tokens", &token["id"], most)?, text, kind);
        }
        Ok(vocabulary)
    }

    /// What stands for text without a token.
    fn unknown_token(&self) -> Option<&'a str> {
        let model = &self.json["model"];
        let index = model["unk_id"]
            .as_u64()
            .and_then(|id| usize::try_from(id).ok());
        let of_list = index.and_then(|id| model["vocab"].get(id)?[0].as_str());
        model["unk_token"].as_str().or(of_list)
    }

    /// The tokens that frame a text.
    pub(super) fn frame(&self) -> Result<Frame, FormatError> {
        let processor = &self.json["post_processor"];
        Frame::read(processor).map_err(|_| self.unsupported("post_processor", processor))
    }

    /// Puts the kind of vocabulary, its merges, and what is done to texts into `metadata`.
    pub(super) fn model(
        &self,
        vocabulary: &mut Vocabulary,
        metadata: &mut Metadata,
    ) -> Result<(), FormatError> {
        let unknown = self.unknown_token().and_then(|text| vocabulary.id(text));
        if let Some(id) = unknown {
            metadata.insert("tokenizer.ggml.unknown_token_id", id);
        }
        let (kind, merges) = match self.json["model"]["type"].as_str() {
            Some("BPE") => {
                let merges = self.merges()?;
                match self.form()? {
                    Some(Form::SentencePiece { prefix }) => {
                        vocabulary.scores = scores(vocabulary, &merges);
                        metadata.insert("tokenizer.ggml.model", "llama");
                        metadata.insert("tokenizer.ggml.add_space_prefix", prefix);
                        return Ok(());
                    }
                    Some(Form::ByteLevel(pre)) => {
                        metadata.insert("tokenizer.ggml.pre", pre);
                        ("gpt2", merges)
                    }
                    None => {
                        metadata.insert(pipeline::KEY, self.parts());
                        ("gpt2", merges)
                    }
                }
            }
            Some("Unigram") => {
                metadata.insert(pipeline::KEY, self.parts());
                ("t5", Vec::new())
            }
            Some("WordPiece") => {
                metadata.insert(pipeline::KEY, self.parts());
                spell_words(vocabulary);
                ("bert", Vec::new())
            }
            _ => return Err(self.unsupported("model.type", &self.json["model"]["type"])),
        };
        metadata.insert("tokenizer.ggml.model", kind);
        if kind == "gpt2" {
            let lines = merges.iter().map(|(left, right)| {
                let has_space = left.contains(' ') || right.contains(' ');
                let between = if has_space { pipeline::BETWEEN } else { ' ' };
                format!("{left}{between}{right}")
            });
            metadata.insert("tokenizer.ggml.merges", lines.collect::<StringArray>());
        }
        Ok(())
    }

    /// The file without vocabulary and merges.
    fn parts(&self) -> String {
        let is_small = |(key, _): &(&String, &Json)| !["vocab", "merges"].contains(&key.as_str());
        let without = |fields: &Map<String, Json>| -> Map<String, Json> {
            let kept = fields.iter().filter(is_small);
            kept.map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        };
        let mut parts = Map::new();
        for key in [
            "normalizer",
            "pre_tokenizer",
            "post_processor",
            "decoder",
            "added_tokens",
        ] {
            parts.insert(key.into(), self.json[key].clone());
        }
        let model = self.json["model"].as_object().map(without);
        parts.insert("model".into(), model.unwrap_or_default().into());
        Json::Object(parts).to_string()
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

    /// How GGUF's keys say what this BPE tokenizer does, if they can.
    fn form(&self) -> Result<Option<Form>, FormatError> {
        let model = &self.json["model"];
        let is_unset = |value: &Json| value.is_null() || *value == "";
        let flags = ["lstrip", "rstrip", "single_word"];
        let added = self.json["added_tokens"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let is_plain = |token: &Json| flags.iter().all(|flag| token[*flag] != true);
        let frame = self.frame()?;
        if !is_unset(&model["continuing_subword_prefix"])
            || !is_unset(&model["end_of_word_suffix"])
            || !added.iter().all(is_plain)
            || frame.before.len() > 1
            || frame.behind.len() > 1
        {
            return Ok(None);
        }
        let normalizer = &self.json["normalizer"];
        if model["byte_fallback"] == true {
            let normalized = added.iter().any(|token| token["normalized"] == true);
            let prefix = self
                .spaces()
                .filter(|_| normalizer.is_null() || !normalized);
            return Ok(prefix.map(|prefix| Form::SentencePiece { prefix }));
        }
        let mut cuts = Vec::new();
        let is_bytes = cut_patterns(&self.json["pre_tokenizer"], &mut cuts);
        let known = pretokenizer::name_of(&cuts, model["ignore_merges"] == true);
        let name = known.filter(|_| is_bytes == Some(true) && normalizer.is_null());
        Ok(name.map(Form::ByteLevel))
    }

    /// Whether a space is put in front, if spaces become SentencePiece's and nothing else happens.
    fn spaces(&self) -> Option<bool> {
        let normalizer = &self.json["normalizer"];
        let parts = match normalizer["type"].as_str() {
            Some("Sequence") => normalizer["normalizers"].as_array()?.as_slice(),
            Some(_) => std::slice::from_ref(normalizer),
            None => &[],
        };
        let (mut prefix, mut replaced) = (false, false);
        for part in parts {
            match part["type"].as_str() {
                Some("Prepend") if part["prepend"] == MARK => prefix = true,
                Some("Replace") if part["pattern"]["String"] == " " && part["content"] == MARK => {
                    replaced = true;
                }
                _ => return None,
            }
        }
        let cutter = &self.json["pre_tokenizer"];
        match cutter["type"].as_str() {
            None => {}
            // What comes first alone gets a space from some, which GGUF's keys cannot say.
            Some("Metaspace") if cutter["replacement"] == MARK && cutter["split"] == false => {
                replaced = true;
                prefix |= match cutter["prepend_scheme"].as_str() {
                    Some("first") => return None,
                    Some("never") => false,
                    _ => cutter["add_prefix_space"] != false,
                };
            }
            // Gemma's, whose spaces are no longer there when it looks for them.
            Some("Split") if cutter["pattern"]["String"] == " " && replaced => {}
            _ => return None,
        }
        replaced.then_some(prefix)
    }
}

/// The patterns that text is cut by, one after another, before its bytes are spelt as letters; whether they are at all.
/// `None` if something else is done.
fn cut_patterns(part: &Json, cuts: &mut Vec<String>) -> Option<bool> {
    match part["type"].as_str()? {
        "Sequence" => {
            let mut is_bytes = false;
            for part in part["pretokenizers"].as_array()? {
                is_bytes |= cut_patterns(part, cuts)?;
            }
            return Some(is_bytes);
        }
        "ByteLevel" if part["add_prefix_space"] == false => {
            if part["use_regex"] != false {
                cuts.push(pipeline::GPT2.into());
            }
            return Some(true);
        }
        "Digits" => cuts.push(match part["individual_digits"] == true {
            true => r"\p{N}".into(),
            false => r"\p{N}+".into(),
        }),
        "Split" if part["behavior"] == "Isolated" && part["invert"] != true => {
            cuts.push(part["pattern"]["Regex"].as_str()?.into());
        }
        _ => return None,
    }
    Some(false)
}

/// SentencePiece merges what has the best score; the earlier a merge, the better.
fn scores(vocabulary: &Vocabulary, merges: &[(&str, &str)]) -> Vec<f32> {
    let mut ranks = HashMap::with_capacity(merges.len());
    for (rank, (left, right)) in merges.iter().enumerate() {
        ranks.entry(format!("{left}{right}")).or_insert(rank);
    }
    let last = merges.len();
    let score = |token| -(*ranks.get(token).unwrap_or(&last) as f32);
    vocabulary.tokens.iter().map(score).collect()
}

/// Spells words as GGUF files do: what begins one has a mark, not what continues it.
fn spell_words(vocabulary: &mut Vocabulary) {
    let plain = vocabulary.types.iter().map(|&kind| kind == NORMAL);
    for (token, _) in vocabulary
        .tokens
        .iter_mut()
        .zip(plain)
        .filter(|(_, plain)| *plain)
    {
        match token.strip_prefix("##") {
            Some(rest) if !rest.is_empty() => *token = rest.to_owned(),
            _ => token.insert(0, SPACE),
        }
    }
}
