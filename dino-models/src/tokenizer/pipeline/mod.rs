//! What a `tokenizer.json` does with a text besides merging letters (<https://huggingface.co/docs/tokenizers/components>).
//!
//! Where GGUF's keys can say the same, a folder is read as those (`folder`). Otherwise the parts of the file come along
//! under [`KEY`], without vocabulary and merges, and are done here one after another, as the `tokenizers` library does:
//!
//! 1. added tokens that stand for their text as it is are taken out (`partition`);
//! 2. what lies between is brought into a normal form (`normalizer`), and added tokens in normal form are taken out;
//! 3. the rest is cut into words (`cut`), which the model turns into tokens;
//! 4. tokens are put before and behind (`frame`).
//!
//! A part that is not understood is an error that names it.

mod cut;
mod frame;
mod normalizer;
mod parts;
mod pattern;

use std::borrow::Cow;

use serde_json::Value as Json;

pub(super) use self::cut::GPT2;
use self::cut::{Cut, Piece};
pub(super) use self::frame::Frame;
use self::normalizer::Normalizer;
pub(super) use self::parts::{AddedToken, Letters, ModelParts, Spelling};
use super::TokenizerError;

/// Where the parts of a `tokenizer.json` are kept: the file without `model.vocab` and `model.merges`.
pub(super) const KEY: &str = "tokenizer.huggingface.pipeline";

/// What stands between the two parts of a merge that has a space in one of them.
pub(super) const BETWEEN: char = '\0';

/// The most normalizers and the most cuts: each of them may read the whole text.
const MOST_PARTS: usize = 64;

/// How many times longer a normal form may be than the text: no character of Unicode has one of more than 18.
const MOST_GROWTH: usize = 32;

/// The parts of a `tokenizer.json`.
#[derive(Debug)]
pub(super) struct Pipeline {
    normalizers: Vec<Normalizer>,
    cuts: Vec<Cut>,
    pub(super) frame: Frame,
    pub(super) spelling: Spelling,
    pub(super) added: Vec<AddedToken>,
    pub(super) model: ModelParts,
}

impl Pipeline {
    /// Reads the parts.
    ///
    /// # Errors
    /// [`TokenizerError::UnsupportedPart`] for what is not understood.
    pub(super) fn new(text: &str) -> Result<Self, TokenizerError> {
        let json: Json = serde_json::from_str(text)
            .map_err(|error| unsupported(KEY, &error.to_string().into()))?;
        let mut normalizers = Vec::new();
        Normalizer::read(&json["normalizer"], &mut normalizers)?;
        let mut cuts = Vec::new();
        Cut::read(&json["pre_tokenizer"], &mut cuts)?;
        for (part, count) in [
            ("normalizer", normalizers.len()),
            ("pre_tokenizer", cuts.len()),
        ] {
            if count > MOST_PARTS {
                return Err(unsupported(part, &json[part]));
            }
        }
        Ok(Self {
            normalizers,
            cuts,
            frame: Frame::read(&json["post_processor"])?,
            spelling: Spelling::read(&json["decoder"])?,
            added: AddedToken::read_all(&json["added_tokens"])?,
            model: ModelParts::read(&json["model"])?,
        })
    }

    /// Whether texts are brought into a normal form at all.
    pub(super) fn normalizes(&self) -> bool {
        !self.normalizers.is_empty()
    }

    /// Makes sure that the ids that it names are of the vocabulary.
    pub(super) fn check(&self, vocab_size: usize) -> Result<(), TokenizerError> {
        let framed = self.frame.before.iter().chain(&self.frame.behind);
        match framed.copied().find(|&id| id as usize >= vocab_size) {
            Some(found) => Err(TokenizerError::SpecialOutOfRange {
                key: "post_processor",
                found,
                vocab_size,
            }),
            None => Ok(()),
        }
    }

    /// The normal form of `text`, and whether that begins where the text does.
    ///
    /// # Errors
    /// It is many times longer than the text.
    pub(super) fn normalize<'t>(
        &self,
        text: &'t str,
    ) -> Result<(Cow<'t, str>, bool), TokenizerError> {
        let limit = text
            .len()
            .saturating_mul(MOST_GROWTH)
            .saturating_add(MOST_GROWTH);
        let mut normal = Cow::Borrowed(text);
        let mut keeps_start = true;
        for normalizer in &self.normalizers {
            keeps_start &= !normalizer.moves_start(&normal);
            if let Some(changed) = normalizer.apply(&normal) {
                normal = Cow::Owned(changed);
            }
            let found = normal.len();
            if found > limit {
                return Err(TokenizerError::TextTooLong { found, limit });
            }
        }
        Ok((normal, keeps_start))
    }

    /// The words of a text in normal form; `at_start` says whether the whole text begins with it.
    pub(super) fn words<'t>(&self, text: &'t str, at_start: bool) -> Vec<Cow<'t, str>> {
        let mut pieces = vec![Piece {
            text: Cow::Borrowed(text),
            at_start,
        }];
        for cut in &self.cuts {
            let mut smaller = Vec::with_capacity(pieces.len() * 2);
            for piece in pieces {
                cut.apply(piece, &mut smaller);
            }
            pieces = smaller;
        }
        pieces.into_iter().map(|piece| piece.text).collect()
    }
}

/// The error about the part `part` of the file, which is `found`.
fn unsupported(part: &str, found: &Json) -> TokenizerError {
    let found = match found {
        Json::String(text) => text.clone(),
        found => found.to_string(),
    };
    TokenizerError::UnsupportedPart {
        part: part.to_owned(),
        found: found.chars().take(200).collect(),
    }
}

/// The parts of a `Sequence`, or the one part that it is; none for `null`.
fn parts<'j>(json: &'j Json, list: &str) -> &'j [Json] {
    match json["type"].as_str() {
        Some("Sequence") => json[list].as_array().map_or(&[], Vec::as_slice),
        _ if json.is_null() => &[],
        _ => std::slice::from_ref(json),
    }
}
