//! Added tokens, the settings of the model, and how tokens spell text.

use serde_json::Value as Json;

use super::super::TokenizerError;
use super::super::partition::Edges;
use super::{parts, unsupported};

/// The longest word of WordPiece, in characters: cutting one takes the square of it.
const LONGEST_WORD: usize = 1000;

/// How an added token is looked for. A text of it stands for it wherever it is found, with these limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct AddedToken {
    pub(in super::super) id: u32,
    pub(in super::super) edges: Edges,
    /// It is looked for in the normal form of a text.
    pub(in super::super) normalized: bool,
}

impl AddedToken {
    pub(super) fn read_all(json: &Json) -> Result<Vec<Self>, TokenizerError> {
        let list = json.as_array().map_or(&[][..], Vec::as_slice);
        let read = |token: &Json| {
            let id = token["id"].as_u64().and_then(|id| u32::try_from(id).ok());
            let special = token["special"] == true;
            Ok(Self {
                id: id.ok_or_else(|| unsupported("added_tokens", token))?,
                edges: Edges {
                    lstrip: token["lstrip"] == true,
                    rstrip: token["rstrip"] == true,
                    single_word: token["single_word"] == true,
                },
                normalized: token["normalized"].as_bool().unwrap_or(!special),
            })
        };
        list.iter().map(read).collect()
    }
}

/// What a model does besides merging and cutting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct ModelParts {
    /// A word that is a token is that token, whatever the merges say.
    pub(in super::super) ignore_merges: bool,
    /// Characters without a token become tokens of their bytes.
    pub(in super::super) byte_fallback: bool,
    /// Neighbours without a token are one unknown.
    pub(in super::super) fuse_unk: bool,
    /// Stands for what has no token; without one, that is left out.
    pub(in super::super) unk_token: Option<String>,
    /// What a letter that continues a word begins with.
    pub(in super::super) continuing_subword_prefix: String,
    /// What a letter that ends a word ends with.
    pub(in super::super) end_of_word_suffix: String,
    /// A longer word is unknown to WordPiece.
    pub(in super::super) max_input_chars_per_word: usize,
}

impl ModelParts {
    pub(super) fn read(model: &Json) -> Result<Self, TokenizerError> {
        if let Some(dropout) = model["dropout"].as_f64().filter(|&dropout| dropout != 0.0) {
            return Err(unsupported("model.dropout", &dropout.into()));
        }
        if model["type"] == "WordPiece" && model["continuing_subword_prefix"] != "##" {
            let key = "continuing_subword_prefix";
            return Err(unsupported(&format!("model.{key}"), &model[key]));
        }
        let text = |key: &str| model[key].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            ignore_merges: model["ignore_merges"] == true,
            byte_fallback: model["byte_fallback"] == true,
            fuse_unk: model["fuse_unk"] == true,
            unk_token: model["unk_token"].as_str().map(str::to_owned),
            continuing_subword_prefix: text("continuing_subword_prefix"),
            end_of_word_suffix: text("end_of_word_suffix"),
            max_input_chars_per_word: model["max_input_chars_per_word"]
                .as_u64()
                .and_then(|most| usize::try_from(most).ok())
                .map_or(100, |most| most.min(LONGEST_WORD)),
        })
    }
}

/// How the texts of tokens spell the text that they stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Spelling {
    pub(in super::super) letters: Letters,
    /// Whether a text that is decoded loses a space in front.
    pub(in super::super) drops_first_space: bool,
}

/// What the letters of a token mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) enum Letters {
    /// Themselves, with a space between two tokens.
    #[default]
    Spaced,
    /// A byte each.
    Bytes,
    /// `▁` is a space, `<0x0A>` a byte.
    SentencePiece,
    /// A word begins with a space, unless it continues one.
    WordPiece,
}

impl Spelling {
    pub(super) fn read(json: &Json) -> Result<Self, TokenizerError> {
        let mut spelling = Self {
            letters: Letters::Spaced,
            drops_first_space: json.is_null(),
        };
        for part in parts(json, "decoders") {
            let refused = || unsupported("decoder", part);
            match part["type"].as_str() {
                Some("ByteLevel") => spelling.letters = Letters::Bytes,
                Some("Metaspace") if part["replacement"] == "\u{2581}" => {
                    spelling.letters = Letters::SentencePiece;
                    spelling.drops_first_space =
                        part["prepend_scheme"] != "never" && part["add_prefix_space"] != false;
                }
                Some("Replace")
                    if part["pattern"]["String"] == "\u{2581}" && part["content"] == " " =>
                {
                    spelling.letters = Letters::SentencePiece;
                }
                Some("ByteFallback" | "Fuse") => {}
                Some("Strip") if part["content"] == " " && part["stop"] == 0 => {
                    spelling.drops_first_space = part["start"] == 1;
                }
                Some("WordPiece") if part["prefix"] == "##" => {
                    spelling.letters = Letters::WordPiece;
                    spelling.drops_first_space = true;
                }
                _ => return Err(refused()),
            }
        }
        Ok(spelling)
    }
}
