//! SentencePiece's `tokenizer.model`: a message in Protocol Buffers' wire format.
//!
//! The fields are those of `sentencepiece_model.proto` of the SentencePiece project; the wire format is
//! <https://protobuf.dev/programming-guides/encoding/>. Only what is needed is looked at. Every length is checked against
//! what is left, and nothing is allocated that the file does not hold.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::super::pipeline::Frame;
use super::super::sentence_piece::SPACE;
use super::MAX_FILE;
use super::vocabulary::{CONTROL, MAX_GAP, NORMAL, UNKNOWN, USER_DEFINED, Vocabulary};
use crate::format::json as files;
use crate::format::{FormatError, Metadata};

/// The kinds of models, by their numbers in the file.
const KINDS: [&str; 5] = ["none", "unigram", "bpe", "word", "char"];

/// A field of a message: its number and what it holds.
#[derive(Clone, Copy, Debug)]
enum Field<'f> {
    Number(u32, u64),
    Bytes(u32, &'f [u8]),
    Float(u32, f32),
}

/// The fields of a message, one after another; `Err` holds the place where it breaks off.
struct Fields<'f> {
    message: &'f [u8],
    at: usize,
}

impl<'f> Fields<'f> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.message.get(self.at)?;
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<&'f [u8]> {
        let end = self.at.checked_add(usize::try_from(length).ok()?)?;
        let bytes = self.message.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    fn field(&mut self) -> Option<Field<'f>> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok()?;
        Some(match tag & 7 {
            0 => Field::Number(number, self.varint()?),
            1 => Field::Bytes(number, self.take(8)?),
            2 => {
                let length = self.varint()?;
                Field::Bytes(number, self.take(length)?)
            }
            5 => Field::Float(number, f32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        })
    }
}

impl<'f> Iterator for Fields<'f> {
    type Item = Result<Field<'f>, usize>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.message.len() {
            return None;
        }
        let start = self.at;
        let field = self.field().ok_or(start);
        if field.is_err() {
            self.at = self.message.len();
        }
        Some(field)
    }
}

fn fields(message: &[u8]) -> Fields<'_> {
    Fields { message, at: 0 }
}

/// What a `tokenizer.model` says.
#[derive(Debug)]
pub(super) struct SentencePieceFile {
    path: PathBuf,
    pieces: Vec<Piece>,
    kind: u64,
    /// Begins a text, ends one, fills batches; none where the number is negative.
    bos: Option<u32>,
    eos: Option<u32>,
    charsmap: Vec<u8>,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
}

#[derive(Debug)]
struct Piece {
    text: String,
    score: f32,
    kind: i32,
}

impl SentencePieceFile {
    /// Reads the file.
    pub(super) fn read(path: &Path) -> Result<Self, FormatError> {
        let bytes = files::bytes(path, MAX_FILE)?;
        let mut file = Self {
            path: path.to_owned(),
            pieces: Vec::new(),
            kind: 1,
            bos: Some(1),
            eos: Some(2),
            charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
        };
        for field in fields(&bytes) {
            match field.map_err(|at| file.broken("a field", at))? {
                Field::Bytes(1, piece) => {
                    let piece = file.piece(piece)?;
                    file.pieces.push(piece);
                }
                Field::Bytes(2, trainer) => file.trainer(trainer)?,
                Field::Bytes(3, normalizer) => file.normalizer(normalizer)?,
                _ => {}
            }
        }
        if file.pieces.is_empty() {
            return Err(file.refused("pieces", "pieces of text", "none"));
        }
        Ok(file)
    }

    fn broken(&self, reading: &str, offset: usize) -> FormatError {
        FormatError::Truncated {
            file: self.path.clone(),
            reading: format!("{reading} of a SentencePiece model"),
            offset,
            needed: 1,
            left: 0,
        }
    }

    fn refused(&self, key: &str, expected: &str, found: &str) -> FormatError {
        FormatError::WrongType {
            file: self.path.clone(),
            key: key.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    fn piece(&self, message: &[u8]) -> Result<Piece, FormatError> {
        let mut piece = Piece {
            text: String::new(),
            score: 0.0,
            kind: NORMAL,
        };
        let index = self.pieces.len();
        for field in fields(message) {
            match field.map_err(|at| self.broken(&format!("pieces[{index}]"), at))? {
                Field::Bytes(1, text) => {
                    let text = std::str::from_utf8(text).map_err(|_| {
                        self.refused(&format!("pieces[{index}].piece"), "UTF-8", "other bytes")
                    })?;
                    text.clone_into(&mut piece.text);
                }
                Field::Float(2, score) => piece.score = score,
                Field::Number(3, kind) => {
                    let known = i32::try_from(kind)
                        .ok()
                        .filter(|kind| (1..=6).contains(kind));
                    piece.kind = known.ok_or_else(|| {
                        let key = format!("pieces[{index}].type");
                        self.refused(&key, "1 to 6", &kind.to_string())
                    })?;
                }
                _ => {}
            }
        }
        Ok(piece)
    }

    fn trainer(&mut self, message: &[u8]) -> Result<(), FormatError> {
        for field in fields(message) {
            let field = field.map_err(|at| self.broken("trainer_spec", at))?;
            // A negative number is one beyond 32 bits here: there is no such token.
            let id = |number: u64| u32::try_from(number).ok();
            match field {
                Field::Number(3, kind) => self.kind = kind,
                Field::Number(24, 1) => {
                    let key = "trainer_spec.treat_whitespace_as_suffix";
                    return Err(self.refused(key, "spaces in front of words", "behind them"));
                }
                Field::Number(41, bos) => self.bos = id(bos),
                Field::Number(42, eos) => self.eos = id(eos),
                _ => {}
            }
        }
        if !matches!(self.kind, 1 | 2) {
            let kind = usize::try_from(self.kind)
                .ok()
                .and_then(|kind| KINDS.get(kind));
            let found = kind.copied().unwrap_or("an unknown kind");
            return Err(self.refused("trainer_spec.model_type", "unigram or bpe", found));
        }
        Ok(())
    }

    fn normalizer(&mut self, message: &[u8]) -> Result<(), FormatError> {
        for field in fields(message) {
            match field.map_err(|at| self.broken("normalizer_spec", at))? {
                Field::Bytes(2, charsmap) => self.charsmap = charsmap.to_vec(),
                Field::Number(3, add) => self.add_dummy_prefix = add != 0,
                Field::Number(4, remove) => self.remove_extra_whitespaces = remove != 0,
                Field::Number(5, 0) => {
                    let key = "normalizer_spec.escape_whitespaces";
                    return Err(self.refused(key, "true", "false"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The pieces, and what `tokenizer_config.json` and `added_tokens.json` add to them.
    pub(super) fn vocabulary(
        &self,
        config: &Json,
        added: &Json,
    ) -> Result<Vocabulary, FormatError> {
        let mut vocabulary = Vocabulary::default();
        for (id, piece) in self.pieces.iter().enumerate() {
            // These are looked for in a text as it is written.
            let written = match piece.kind {
                USER_DEFINED => piece.text.replace(SPACE, " ").into(),
                _ => Cow::Borrowed(piece.text.as_str()),
            };
            vocabulary.set(id, &written, piece.kind);
            vocabulary.scores.push(piece.score);
        }
        let decoder = config["added_tokens_decoder"].as_object();
        let decoder = decoder.into_iter().flatten().map(|(id, token)| {
            let kind = if token["special"] == true {
                CONTROL
            } else {
                USER_DEFINED
            };
            (id.parse().ok(), token["content"].as_str(), kind)
        });
        let listed = added.as_object().into_iter().flatten();
        let listed = listed.map(|(text, id)| {
            let id = id.as_u64().and_then(|id| usize::try_from(id).ok());
            (id, Some(text.as_str()), USER_DEFINED)
        });
        let most = self.pieces.len() + MAX_GAP;
        for (id, text, kind) in listed.chain(decoder) {
            let found = id.filter(|&id| id < most).zip(text);
            let (id, text) = found.ok_or_else(|| {
                let (id, text) = (id.unwrap_or_default(), text.unwrap_or_default());
                self.refused(
                    "added tokens",
                    "an id and a text",
                    &format!("{id}: {text:?}"),
                )
            })?;
            let is_unknown = vocabulary.types.get(id) == Some(&UNKNOWN);
            vocabulary.set(id, text, if is_unknown { UNKNOWN } else { kind });
        }
        Ok(vocabulary)
    }

    /// The tokens that frame a text: what the configuration says, else what models of this kind do.
    pub(super) fn frame(&self, vocabulary: &Vocabulary, config: &Json) -> Frame {
        let is_bpe = self.kind == 2;
        let added = |role: &str, id: Option<u32>, default: bool| -> Vec<u32> {
            let token = &config[format!("{role}_token")];
            let named = token.as_str().or_else(|| token["content"].as_str());
            let id = named.and_then(|text| vocabulary.id(text)).or(id);
            let add = config[format!("add_{role}_token")]
                .as_bool()
                .unwrap_or(default);
            let known = id.filter(|&id| add && (id as usize) < vocabulary.tokens.len());
            known.into_iter().collect()
        };
        Frame {
            before: added("bos", self.bos, is_bpe),
            behind: added("eos", self.eos, !is_bpe),
        }
    }

    /// Puts what is not about single tokens into `metadata`.
    pub(super) fn write(self, metadata: &mut Metadata) {
        let kind = if self.kind == 2 { "llama" } else { "t5" };
        metadata.insert("tokenizer.ggml.model", kind);
        metadata.insert("tokenizer.ggml.add_space_prefix", self.add_dummy_prefix);
        metadata.insert("tokenizer.sentencepiece.prefix_first", true);
        let key = "tokenizer.ggml.remove_extra_whitespaces";
        metadata.insert(key, self.remove_extra_whitespaces);
        if !self.charsmap.is_empty() {
            metadata.insert("tokenizer.ggml.precompiled_charsmap", self.charsmap);
        }
        let unknown = self.pieces.iter().position(|piece| piece.kind == UNKNOWN);
        if let Some(id) = unknown.and_then(|id| u32::try_from(id).ok()) {
            metadata.insert("tokenizer.ggml.unknown_token_id", id);
        }
    }
}
