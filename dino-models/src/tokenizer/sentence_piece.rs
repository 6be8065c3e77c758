//! SentencePiece vocabularies (`tokenizer.ggml.model = "llama"`): pairs with scores.
//!
//! Kudo and Richardson, *SentencePiece* (2018). A text is taken as one word: spaces become `▁`, then the neighbours
//! whose joint text is the token with the best score are joined, until none are. Characters without a token become
//! byte tokens.

use std::borrow::Cow;

use super::merge::{Joined, Merger, NO_TOKEN, Symbol};
use super::normal_form::{NormalForm, Place};
use super::vocabulary::Vocabulary;
use super::{TokenKind, TokenizerError, VocabularyData};

/// What stands for a space in token texts.
pub(super) const SPACE: char = '▁';

/// Encodes and decodes by scores.
#[derive(Debug)]
pub(super) struct SentencePiece {
    /// The order in which tokens are made: the better the score, the lower. [`NEVER`] for those that text never gives.
    order: Vec<u32>,
    /// Length in bytes of the longest token that text can give.
    longest: u32,
    bytes: Vec<Option<u32>>,
    unknown: Option<u32>,
    /// What is done to a text, where the model brings that along; else spaces are spelt, and that is all.
    normal_form: Option<NormalForm>,
}

/// The order of a token that is never made by joining.
const NEVER: u32 = u32::MAX;

impl SentencePiece {
    pub(super) fn new(
        data: &VocabularyData<'_>,
        vocabulary: &Vocabulary,
        unknown: Option<u32>,
    ) -> Result<Self, TokenizerError> {
        let key = "tokenizer.ggml.scores";
        let scores = data
            .scores
            .as_ref()
            .ok_or(TokenizerError::MissingKey { key })?;
        if scores.len() != vocabulary.len() {
            return Err(TokenizerError::LengthMismatch {
                key,
                expected: vocabulary.len(),
                found: scores.len(),
            });
        }
        let mut pieces = SentencePiece {
            order: Vec::with_capacity(scores.len()),
            longest: 0,
            bytes: vec![None; 256],
            unknown,
            normal_form: data
                .prefix_first
                .then(|| NormalForm::new(data))
                .transpose()?,
        };
        for ((token, text, kind), &score) in vocabulary.iter().zip(scores) {
            pieces.add(token, text, kind, score)?;
        }
        Ok(pieces)
    }

    fn add(
        &mut self,
        token: u32,
        text: &str,
        kind: TokenKind,
        score: f32,
    ) -> Result<(), TokenizerError> {
        if score.is_nan() {
            return Err(TokenizerError::InvalidScore { token });
        }
        if kind == TokenKind::Byte {
            let byte = byte_of(text).ok_or_else(|| TokenizerError::InvalidByteToken {
                token,
                text: text.to_owned(),
            })?;
            self.bytes[usize::from(byte)] = Some(token);
        }
        if kind == TokenKind::Byte || kind.is_special() {
            self.order.push(NEVER);
        } else {
            self.order.push(best_first(score));
            self.longest = self.longest.max(text.len() as u32);
        }
        Ok(())
    }

    /// Appends the tokens of `text` to `tokens`.
    pub(super) fn encode(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        place: Place,
        tokens: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        let escaped = match &self.normal_form {
            Some(normal_form) => normal_form.of(text, place),
            None => escape(text, place.at_start),
        };
        self.merge(vocabulary, &escaped, tokens)
    }

    /// Appends the tokens of a text that is spelt as tokens are.
    pub(super) fn merge(
        &self,
        vocabulary: &Vocabulary,
        escaped: &str,
        tokens: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        let piece = |start: u32, end: u32| {
            let token = vocabulary.find(escaped.get(start as usize..end as usize)?)?;
            let order = *self.order.get(token as usize)?;
            (order != NEVER).then_some(Joined { order, token })
        };
        let mut merger = Merger::default();
        for (start, character) in escaped.char_indices() {
            let (start, end) = (start as u32, (start + character.len_utf8()) as u32);
            merger.push(
                start,
                end,
                piece(start, end).map_or(NO_TOKEN, |piece| piece.token),
            );
        }
        let join = |left: &Symbol, right: &Symbol| {
            // Hashing what cannot be a token would make long runs quadratic.
            (right.end - left.start <= self.longest).then(|| piece(left.start, right.end))?
        };
        let first = tokens.len();
        for symbol in merger.merge(join) {
            if symbol.token == NO_TOKEN {
                let bytes = &escaped.as_bytes()[symbol.start as usize..symbol.end as usize];
                self.fall_back(bytes, first, tokens)?;
            } else {
                tokens.push(symbol.token);
            }
        }
        Ok(())
    }

    /// Appends the byte tokens of a character that has no token, or the unknown token, to those of the text from `first`.
    fn fall_back(
        &self,
        bytes: &[u8],
        first: usize,
        tokens: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        for &byte in bytes {
            match (self.bytes[usize::from(byte)], self.unknown) {
                (Some(token), _) => tokens.push(token),
                // To the SentencePiece library, neighbours without a token are one unknown.
                (None, Some(unknown))
                    if self.normal_form.is_some() && tokens[first..].last() == Some(&unknown) =>
                {
                    break;
                }
                (None, Some(unknown)) => {
                    tokens.push(unknown);
                    break;
                }
                (None, None) => return Err(TokenizerError::ByteNotInVocabulary { byte }),
            }
        }
        Ok(())
    }
}

/// The bytes of a token that the vocabulary spells `text`.
pub(super) fn bytes(text: &str, kind: TokenKind) -> Cow<'_, [u8]> {
    match kind {
        TokenKind::Byte => byte_of(text).map_or(Cow::Borrowed(text.as_bytes()), |byte| {
            Cow::Owned(vec![byte])
        }),
        TokenKind::Unknown | TokenKind::Control => Cow::Borrowed(text.as_bytes()),
        _ if text.contains(SPACE) => Cow::Owned(text.replace(SPACE, " ").into_bytes()),
        _ => Cow::Borrowed(text.as_bytes()),
    }
}

/// The text with spaces as tokens spell them.
fn escape(text: &str, with_space: bool) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 2);
    if with_space {
        escaped.push(SPACE);
    }
    escaped.extend(
        text.chars()
            .map(|character| if character == ' ' { SPACE } else { character }),
    );
    escaped
}

/// The byte that a byte token, `<0x0A>`, stands for.
pub(super) fn byte_of(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let two = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    two.then(|| u8::from_str_radix(digits, 16).ok())?
}

/// A number that is the lower, the better the score, equal for equal scores. Never [`NEVER`], as NaN is excluded.
fn best_first(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits(); // -0.0 + 0.0 is 0.0
    let ascending = if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    };
    !ascending
}
