//! Byte-level vocabularies (`tokenizer.ggml.model = "gpt2"`): pairs with ranks.
//!
//! Radford et al., *Language Models are Unsupervised Multitask Learners* (2019), section 2.2. Tokens are runs of
//! bytes; vocabularies spell each byte as one visible character, so that merges can be lines of text.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::merge::{Joined, Merger, Symbol};
use super::vocabulary::Vocabulary;
use super::{PreTokenizer, TokenKind, TokenizerError, VocabularyData};

/// Encodes by the ranks of merges.
#[derive(Debug)]
pub(super) struct ByteLevel {
    words: PreTokenizer,
    /// What two neighbouring tokens give.
    pairs: HashMap<(u32, u32), Joined>,
    /// The token of each single byte.
    bytes: Vec<Option<u32>>,
}

impl ByteLevel {
    pub(super) fn new(
        data: &VocabularyData<'_>,
        vocabulary: &Vocabulary,
        words: PreTokenizer,
    ) -> Result<Self, TokenizerError> {
        let lines = data.merges.as_ref().ok_or(TokenizerError::MissingKey {
            key: "tokenizer.ggml.merges",
        })?;
        let mut pairs = HashMap::with_capacity(lines.len());
        let mut joint = String::new();
        for (index, line) in lines.iter().enumerate() {
            let (left, right) = parse_merge(index, line)?;
            joint.clear();
            joint.push_str(left);
            joint.push_str(right);
            let find = |piece: &str| {
                vocabulary
                    .find(piece)
                    .ok_or_else(|| TokenizerError::MergeNotInVocabulary {
                        index,
                        piece: piece.to_owned(),
                    })
            };
            let pair = (find(left)?, find(right)?);
            let joined = Joined {
                order: index as u32,
                token: find(&joint)?,
            };
            pairs.entry(pair).or_insert(joined);
        }
        let byte = |byte| vocabulary.find(letter(byte).encode_utf8(&mut [0; 4]));
        Ok(ByteLevel {
            words,
            pairs,
            bytes: (0..=255).map(byte).collect(),
        })
    }

    /// Appends the tokens of `text` to `tokens`.
    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &str, tokens: &mut Vec<u32>) {
        let mut merger = Merger::default();
        for word in self.words.split(text) {
            let whole = || vocabulary.find(&spell(word));
            match self.words.whole_words().then(whole).flatten() {
                Some(token) => tokens.push(token),
                None => self.merge(word, &mut merger, tokens),
            }
        }
    }

    fn merge(&self, word: &str, merger: &mut Merger, tokens: &mut Vec<u32>) {
        merger.clear();
        for (start, byte) in (0..).zip(word.bytes()) {
            if let Some(token) = self.bytes[usize::from(byte)] {
                merger.push(start, start + 1, token);
            }
        }
        let join =
            |left: &Symbol, right: &Symbol| self.pairs.get(&(left.token, right.token)).copied();
        tokens.extend(merger.merge(join).map(|symbol| symbol.token));
    }
}

pub(super) fn parse_merge(index: usize, line: &str) -> Result<(&str, &str), TokenizerError> {
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
