//! Pairs with ranks over letters, as a `tokenizer.json` describes them.
//!
//! Sennrich et al., arXiv:1508.07909. Reference: the `tokenizers` library. [`ByteLevel`](super::byte_level) is the same for
//! words of bytes alone, and faster.

use hashbrown::HashMap;

use super::byte_level::parse_merge;
use super::merge::{Joined, Merger, Symbol};
use super::pipeline::{BETWEEN, ModelParts};
use super::vocabulary::Vocabulary;
use super::{TokenizerError, VocabularyData};

/// Encodes by the ranks of merges.
#[derive(Debug)]
pub(super) struct Bpe {
    parts: ModelParts,
    /// What two neighbouring tokens give.
    pairs: HashMap<(u32, u32), Joined>,
    /// The tokens of single letters, where nothing is put before or behind them.
    letters: HashMap<char, u32>,
    /// The tokens of bytes.
    bytes: Vec<Option<u32>>,
    unknown: Option<u32>,
}

impl Bpe {
    pub(super) fn new(
        data: &VocabularyData<'_>,
        vocabulary: &Vocabulary,
        parts: ModelParts,
    ) -> Result<Self, TokenizerError> {
        let key = "tokenizer.ggml.merges";
        let lines = data
            .merges
            .as_ref()
            .ok_or(TokenizerError::MissingKey { key })?;
        let mut pairs = HashMap::with_capacity(lines.len());
        let mut joint = String::new();
        for (index, line) in lines.iter().enumerate() {
            let parsed = line
                .split_once(BETWEEN)
                .map_or_else(|| parse_merge(index, line), Ok);
            let (left, right) = parsed?;
            joint.clear();
            joint.push_str(left);
            joint.push_str(
                right
                    .strip_prefix(&*parts.continuing_subword_prefix)
                    .unwrap_or(right),
            );
            let missing = |piece: &str| TokenizerError::MergeNotInVocabulary {
                index,
                piece: piece.to_owned(),
            };
            let find = |piece: &str| vocabulary.find(piece).ok_or_else(|| missing(piece));
            let joined = Joined {
                order: index as u32,
                token: find(&joint)?,
            };
            pairs.entry((find(left)?, find(right)?)).or_insert(joined);
        }
        let single = |(token, text, _): (u32, &str, _)| {
            let mut letters = text.chars();
            Some((letters.next().filter(|_| letters.next().is_none())?, token))
        };
        let byte = |byte: u8| vocabulary.find(&format!("<0x{byte:02X}>"));
        Ok(Self {
            pairs,
            letters: vocabulary.iter().filter_map(single).collect(),
            bytes: (0..=255).map(byte).collect(),
            unknown: parts
                .unk_token
                .as_ref()
                .and_then(|text| vocabulary.find(text)),
            parts,
        })
    }

    /// Appends the tokens of `word` to `tokens`.
    pub(super) fn encode(
        &self,
        vocabulary: &Vocabulary,
        word: &str,
        merger: &mut Merger,
        tokens: &mut Vec<u32>,
    ) {
        if self.parts.ignore_merges {
            let is_text = |token: &u32| {
                vocabulary
                    .kind(*token)
                    .is_some_and(|kind| !kind.is_special())
            };
            if let Some(token) = vocabulary.find(word).filter(is_text) {
                tokens.push(token);
                return;
            }
        }
        merger.clear();
        let mut count = 0;
        let mut after_unknown = false;
        let mut push = |token| {
            merger.push(count, count + 1, token);
            count += 1;
        };
        for (start, letter) in word.char_indices() {
            let end = start + letter.len_utf8();
            match self.letter(vocabulary, letter, start == 0, end == word.len()) {
                Some(token) => push(token),
                None => {
                    if let Some(bytes) = self.fall_back(&word[start..end]) {
                        bytes.for_each(&mut push);
                    } else if let Some(unknown) = self.unknown {
                        if !(after_unknown && self.parts.fuse_unk) {
                            push(unknown);
                        }
                        after_unknown = true;
                        continue;
                    }
                }
            }
            after_unknown = false;
        }
        let join =
            |left: &Symbol, right: &Symbol| self.pairs.get(&(left.token, right.token)).copied();
        tokens.extend(merger.merge(join).map(|symbol| symbol.token));
    }

    /// The token of a letter at its place in a word.
    fn letter(
        &self,
        vocabulary: &Vocabulary,
        letter: char,
        first: bool,
        last: bool,
    ) -> Option<u32> {
        let prefix = if first {
            ""
        } else {
            &*self.parts.continuing_subword_prefix
        };
        let suffix = if last {
            &*self.parts.end_of_word_suffix
        } else {
            ""
        };
        match (prefix, suffix) {
            ("", "") => self.letters.get(&letter).copied(),
            _ => vocabulary.find(&format!("{prefix}{letter}{suffix}")),
        }
    }

    /// The tokens of the bytes of a letter, if each has one.
    fn fall_back(&self, letter: &str) -> Option<impl Iterator<Item = u32>> {
        if !self.parts.byte_fallback {
            return None;
        }
        let of = |byte: u8| self.bytes[usize::from(byte)];
        let bytes: Option<Vec<u32>> = letter.bytes().map(of).collect();
        bytes.map(Vec::into_iter)
    }
}
