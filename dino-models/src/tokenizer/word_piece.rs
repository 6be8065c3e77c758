//! WordPiece vocabularies (`tokenizer.ggml.model = "bert"`): the longest token that a word begins with, then the longest
//! that the rest begins with, and so on.
//!
//! Devlin et al., *BERT*, arXiv:1810.04805; Wu et al., arXiv:1609.08144. Reference: `BertTokenizerFast` of
//! `transformers`. Files spell a token that begins a word `▁word` and one that continues it `ing`, where the models' own
//! vocabularies have `word` and `##ing`.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

use super::characters::{ACCENTS, CONTROLS, PUNCTUATION};
use super::sentence_piece::SPACE;
use super::vocabulary::Vocabulary;
use super::{TokenKind, TokenizerError, VocabularyData};

/// What a [`WordPiece`](VocabularyData::word_piece) vocabulary does to a text before it cuts it, as `tokenizer.json`
/// spells it out. GGUF files say nothing of it: they are taken from what its tokens look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordPieceOptions {
    /// Remove control characters, and treat all white space alike.
    pub clean_text: bool,
    /// Make each Chinese character a word.
    pub handle_chinese_chars: bool,
    /// Remove accents.
    pub strip_accents: bool,
    /// Make all letters small.
    pub lowercase: bool,
    /// A longer word is unknown, in characters.
    pub max_input_chars_per_word: usize,
}

impl WordPieceOptions {
    /// What BERT does. `cased` models keep capital letters and accents.
    pub fn bert(cased: bool) -> Self {
        Self {
            clean_text: true,
            handle_chinese_chars: true,
            strip_accents: !cased,
            lowercase: !cased,
            max_input_chars_per_word: 100,
        }
    }

    /// What BERT does, cased if some ordinary token has a capital letter: an uncased vocabulary could never use it.
    pub(super) fn of_vocabulary(vocabulary: &Vocabulary) -> Self {
        let cased = vocabulary.iter().any(|(_, text, kind)| {
            kind == TokenKind::Normal
                && !text.contains('[')
                && text.bytes().any(|byte| byte.is_ascii_uppercase())
        });
        Self::bert(cased)
    }

    /// The words of `text`, after `self` was done to it, are given to `word`.
    fn for_each_word(self, text: &str, mut word: impl FnMut(&str)) {
        let mut current = String::new();
        let mut end_word = |current: &mut String| {
            if !current.is_empty() {
                word(current);
                current.clear();
            }
        };
        let kept = text
            .chars()
            .filter(|&c| !(self.clean_text && is_dropped(c)));
        let put = |character: char| {
            if character.is_whitespace() {
                end_word(&mut current);
            } else if PUNCTUATION.contains(character)
                || self.handle_chinese_chars && is_chinese(character)
            {
                end_word(&mut current);
                current.push(character);
                end_word(&mut current);
            } else {
                current.push(character);
            }
        };
        match (self.strip_accents, self.lowercase) {
            (false, false) => kept.for_each(put),
            (false, true) => kept.flat_map(char::to_lowercase).for_each(put),
            (true, false) => without_accents(kept).for_each(put),
            (true, true) => without_accents(kept)
                .flat_map(char::to_lowercase)
                .for_each(put),
        }
        end_word(&mut current);
    }
}

fn without_accents(text: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    text.nfd().filter(|&c| !ACCENTS.contains(c))
}

fn is_dropped(character: char) -> bool {
    character == char::REPLACEMENT_CHARACTER || CONTROLS.contains(character)
}

/// The blocks that BERT takes for Chinese.
pub(super) fn is_chinese(character: char) -> bool {
    matches!(u32::from(character),
        0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x2_0000..=0x2_A6DF | 0x2_A700..=0x2_B73F | 0x2_B740..=0x2_B81F
        | 0x2_B920..=0x2_CEAF | 0xF900..=0xFAFF | 0x2_F800..=0x2_FA1F)
}

/// Encodes by longest matches.
#[derive(Debug)]
pub(super) struct WordPiece {
    options: WordPieceOptions,
    /// Length in bytes of the longest token.
    longest: usize,
    unknown: u32,
}

impl WordPiece {
    pub(super) fn new(
        data: &VocabularyData<'_>,
        vocabulary: &Vocabulary,
        unknown: Option<u32>,
    ) -> Result<Self, TokenizerError> {
        let texts = vocabulary.iter().filter(|(.., kind)| !kind.is_special());
        Ok(Self {
            options: data
                .word_piece
                .unwrap_or_else(|| WordPieceOptions::of_vocabulary(vocabulary)),
            longest: texts.map(|(_, text, _)| text.len()).max().unwrap_or(0),
            unknown: unknown.ok_or(TokenizerError::MissingKey {
                key: "tokenizer.ggml.unknown_token_id",
            })?,
        })
    }

    /// Appends the tokens of `text` to `tokens`.
    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &str, tokens: &mut Vec<u32>) {
        self.options
            .for_each_word(text, |word| self.encode_word(vocabulary, word, tokens));
    }

    /// Appends the tokens of a word, which nothing more is done to.
    pub(super) fn encode_word(&self, vocabulary: &Vocabulary, word: &str, tokens: &mut Vec<u32>) {
        let before = tokens.len();
        let long = word.chars().nth(self.options.max_input_chars_per_word);
        if long.is_some() || !self.cut(vocabulary, &format!("{SPACE}{word}"), tokens) {
            tokens.truncate(before);
            tokens.push(self.unknown);
        }
    }

    /// Appends the tokens of one word; false if some part of it has none.
    fn cut(&self, vocabulary: &Vocabulary, word: &str, tokens: &mut Vec<u32>) -> bool {
        let mut rest = word;
        while !rest.is_empty() {
            // Here `▁` would be a letter, and not what begins a word.
            if rest.len() < word.len() && rest.starts_with(SPACE) {
                return false;
            }
            let ends = (1..=rest.len().min(self.longest)).rev();
            let found = ends
                .filter(|&end| rest.is_char_boundary(end))
                .find_map(|end| {
                    let token = vocabulary.find(&rest[..end])?;
                    let is_text = !vocabulary.kind(token)?.is_special();
                    is_text.then_some((token, end))
                });
            let Some((token, end)) = found else {
                return false;
            };
            // The mark of a word's beginning is no token of a word.
            if end == SPACE.len_utf8() && rest.len() == word.len() {
                return false;
            }
            tokens.push(token);
            rest = &rest[end..];
        }
        true
    }
}

/// The text of a token without the mark that it begins a word.
pub(super) fn without_mark(text: &str) -> &str {
    text.strip_prefix(SPACE).unwrap_or(text)
}

/// The bytes of a token that the vocabulary spells `text`: a word begins with a space.
pub(super) fn bytes(text: &str, kind: TokenKind) -> Cow<'_, [u8]> {
    match text.strip_prefix(SPACE) {
        Some(word) if !kind.is_special() => Cow::Owned(format!(" {word}").into_bytes()),
        _ => Cow::Borrowed(text.as_bytes()),
    }
}
