//! Byte-level vocabularies (`tokenizer.ggml.model = "gpt2"`): pairs with ranks.
//!
//! Radford et al., *Language Models are Unsupervised Multitask Learners* (2019), section 2.2. Tokens are runs of
//! bytes; vocabularies spell each byte as one visible character, so that merges can be lines of text.

use std::borrow::Cow;

use tokenizers::Model;
use tokenizers::models::bpe::BPE;

use super::vocabulary::Vocabulary;
use super::{PreTokenizer, TokenKind, TokenizerError, VocabularyData};

/// Encodes by the ranks of merges.
#[derive(Debug)]
pub(super) struct ByteLevel {
    words: PreTokenizer,
    pairs: BPE,
}

impl ByteLevel {
    pub(super) fn new(
        data: &VocabularyData<'_>,
        vocabulary: &Vocabulary,
        words: PreTokenizer,
    ) -> Result<Self, TokenizerError> {
        let key = "tokenizer.ggml.merges";
        let lines = data
            .merges
            .as_ref()
            .ok_or(TokenizerError::MissingKey { key })?;
        let mut merges = Vec::with_capacity(lines.len());
        for (index, line) in lines.iter().enumerate() {
            let (left, right) = parse_merge(index, line)?;
            for piece in [left.to_owned(), right.to_owned(), format!("{left}{right}")] {
                if vocabulary.find(&piece).is_none() {
                    return Err(TokenizerError::MergeNotInVocabulary { index, piece });
                }
            }
            merges.push((left.to_owned(), right.to_owned()));
        }
        let tokens = vocabulary
            .iter()
            .map(|(token, text, _)| (text.to_owned(), token));
        let pairs = BPE::builder()
            .vocab_and_merges(tokens.collect::<tokenizers::models::bpe::Vocab>(), merges)
            .cache_capacity(0)
            .ignore_merges(words.whole_words())
            .build()
            .map_err(|_| TokenizerError::MissingKey { key })?;
        Ok(ByteLevel { words, pairs })
    }

    /// Appends the tokens of `text` to `tokens`.
    pub(super) fn encode(&self, text: &str, tokens: &mut Vec<u32>) -> Result<(), TokenizerError> {
        for word in self.words.split(text) {
            let spelled = spell(word);
            let found = self.pairs.tokenize(&spelled).unwrap_or_default();
            tokens.extend(found.iter().map(|token| token.id));
        }
        Ok(())
    }
}

fn parse_merge(index: usize, line: &str) -> Result<(&str, &str), TokenizerError> {
    line.split_once(' ')
        .filter(|(left, right)| !left.is_empty() && !right.is_empty())
        .ok_or_else(|| TokenizerError::MalformedMerge {
            index,
            text: line.to_owned(),
        })
}

/// The bytes of a token that the vocabulary spells `text`; as it stands, if it is not spelled so.
pub(super) fn bytes(text: &str, kind: TokenKind) -> Cow<'_, [u8]> {
    if kind == TokenKind::UserDefined || kind.is_special() {
        return Cow::Borrowed(text.as_bytes());
    }
    match text.chars().map(byte_of).collect() {
        Some(bytes) => Cow::Owned(bytes),
        None => Cow::Borrowed(text.as_bytes()),
    }
}

pub(super) fn spell(text: &str) -> String {
    text.bytes().map(letter).collect()
}

/// The character that spells `byte`: itself where it is visible, else one of the 68 from U+0100.
pub(super) fn letter(byte: u8) -> char {
    let above_latin = |index: u8| char::from_u32(0x100 + u32::from(index)).unwrap_or_default();
    match byte {
        0x00..=0x20 => above_latin(byte),
        0x7f..=0xa0 => above_latin(byte - 0x7f + 0x21),
        0xad => above_latin(0x43),
        _ => char::from(byte),
    }
}

/// The inverse of [`letter`].
fn byte_of(letter: char) -> Option<u8> {
    let code = u32::from(letter);
    let byte = match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => code,
        0x100..=0x120 => code - 0x100,
        0x121..=0x142 => code - 0x121 + 0x7f,
        0x143 => 0xad,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_spell_every_byte_once() {
        for byte in 0..=255 {
            assert_eq!(byte_of(letter(byte)), Some(byte));
            assert!(!letter(byte).is_whitespace() && !letter(byte).is_control());
        }
        assert_eq!(letter(b' '), 'Ġ');
        assert_eq!(letter(b'\n'), 'Ċ');
        assert_eq!(letter(0x7f), 'ġ');
        assert_eq!(byte_of('中'), None);
    }
}
