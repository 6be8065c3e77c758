//! Unigram vocabularies (`tokenizer.ggml.model = "t5"`): of all ways to cut a text into tokens, the likeliest.
//!
//! Kudo, *Subword Regularization*, arXiv:1804.10959. Reference: `sentencepiece`. Scores are log probabilities; the best
//! sum is found from left to right (Viterbi), over the tokens that an automaton sees end at each place, so that the time
//! is linear in the text. Sums are kept in f64, as `tokenizers` does: in f32 those of long texts lose what tells two
//! ways apart.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::normal_form::{NormalForm, Place};
use super::sentence_piece::byte_of;
use super::vocabulary::Vocabulary;
use super::{TokenKind, TokenizerError, VocabularyData};

/// How much worse than the worst token a character without a token is.
const UNKNOWN_PENALTY: f64 = 10.0;

/// Encodes by log probabilities.
#[derive(Debug)]
pub(super) struct Unigram {
    normal_form: NormalForm,
    automaton: AhoCorasick,
    /// The tokens that the automaton finds.
    pieces: Vec<Piece>,
    /// The tokens of bytes, if every byte has one.
    bytes: Option<Box<[u32; 256]>>,
    unknown: u32,
    unknown_score: f64,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    token: u32,
    score: f64,
}

/// The best way to get to a place in the text.
#[derive(Clone, Copy, Debug)]
struct Step {
    score: f64,
    start: u32,
    token: u32,
}

const NOWHERE: Step = Step {
    score: f64::NEG_INFINITY,
    start: u32::MAX,
    token: 0,
};

impl Unigram {
    pub(super) fn new(
        data: &VocabularyData<'_>,
        vocabulary: &Vocabulary,
        unknown: Option<u32>,
    ) -> Result<Self, TokenizerError> {
        let missing = |key| TokenizerError::MissingKey { key };
        let key = "tokenizer.ggml.scores";
        let scores = data.scores.as_ref().ok_or(missing(key))?;
        if scores.len() != vocabulary.len() {
            return Err(TokenizerError::LengthMismatch {
                key,
                expected: vocabulary.len(),
                found: scores.len(),
            });
        }
        let mut texts = Vec::new();
        let mut pieces = Vec::new();
        let mut bytes = [None; 256];
        for ((token, text, kind), &score) in vocabulary.iter().zip(scores) {
            if !score.is_finite() {
                return Err(TokenizerError::InvalidScore { token });
            }
            if kind == TokenKind::Byte {
                let byte = byte_of(text).ok_or_else(|| TokenizerError::InvalidByteToken {
                    token,
                    text: text.to_owned(),
                })?;
                bytes[usize::from(byte)] = Some(token);
            } else if matches!(kind, TokenKind::Normal | TokenKind::Undefined) && !text.is_empty() {
                texts.push(text);
                pieces.push(Piece {
                    token,
                    score: f64::from(score),
                });
            }
        }
        let worst = pieces.iter().map(|piece| piece.score).reduce(f64::min);
        let all_bytes: Option<Vec<u32>> = bytes.into_iter().collect();
        Ok(Self {
            normal_form: NormalForm::new(data)?,
            automaton: automaton(&texts)?,
            pieces,
            bytes: all_bytes.and_then(|bytes| bytes.try_into().ok()),
            unknown: unknown.ok_or(missing("tokenizer.ggml.unknown_token_id"))?,
            unknown_score: worst.unwrap_or(0.0) - UNKNOWN_PENALTY,
        })
    }

    /// Appends the tokens of `text` to `tokens`.
    pub(super) fn encode(&self, text: &str, place: Place, tokens: &mut Vec<u32>) {
        self.cut(&self.normal_form.of(text, place), tokens);
    }

    /// Appends the tokens of a text in normal form to `tokens`.
    pub(super) fn cut(&self, normal: &str, tokens: &mut Vec<u32>) {
        let steps = self.best_steps(normal);
        let first = tokens.len();
        let mut end = normal.len();
        while end > 0 {
            let step = steps[end];
            let start = step.start as usize;
            match &self.bytes {
                Some(bytes) if step.token == self.unknown => {
                    let of = |byte: &u8| bytes[usize::from(*byte)];
                    tokens.extend(normal.as_bytes()[start..end].iter().rev().map(of));
                }
                // Neighbours without a token are one unknown.
                _ if step.token == self.unknown
                    && tokens[first..].last() == Some(&self.unknown) => {}
                _ => tokens.push(step.token),
            }
            end = start;
        }
        tokens[first..].reverse();
    }

    /// The last token of the best way to each place of `text`.
    fn best_steps(&self, text: &str) -> Vec<Step> {
        let mut steps = vec![NOWHERE; text.len() + 1];
        steps[0].score = 0.0;
        let mut matches = self.automaton.find_overlapping_iter(text).peekable();
        for (start, character) in text.char_indices() {
            let end = start + character.len_utf8();
            let mut best = NOWHERE;
            let mut has_token = false;
            let mut consider = |from: usize, token: u32, score: f64| {
                let score = steps[from].score + score;
                // Of equals, the one that began first.
                if score > best.score || score == best.score && from < best.start as usize {
                    best = Step {
                        score,
                        start: from as u32,
                        token,
                    };
                }
            };
            while let Some(found) = matches.next_if(|found| found.end() <= end) {
                let Piece { token, score } = self.pieces[found.pattern().as_usize()];
                has_token |= found.start() == start;
                consider(found.start(), token, score);
            }
            if !has_token {
                consider(start, self.unknown, self.unknown_score);
            }
            steps[end] = best;
        }
        steps
    }
}

fn automaton(texts: &[&str]) -> Result<AhoCorasick, TokenizerError> {
    let builder = AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(texts);
    builder.map_err(|_| TokenizerError::TooLarge {
        key: "tokenizer.ggml.tokens",
        found: texts.iter().map(|text| text.len()).sum(),
        limit: i32::MAX as usize,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition: the best of all ways to cut, found by trying them.
    fn best_score(text: &str, pieces: &[(String, f32)], unknown: f64) -> f64 {
        if text.is_empty() {
            return 0.0;
        }
        let known = pieces.iter().filter_map(|(piece, score)| {
            let rest = text.strip_prefix(piece.as_str())?;
            Some(f64::from(*score) + best_score(rest, pieces, unknown))
        });
        let letter = || unknown + best_score(&text[1..], pieces, unknown);
        let is_known = pieces.iter().any(|(piece, _)| *piece == text[..1]);
        known
            .chain((!is_known).then(letter))
            .fold(f64::NEG_INFINITY, f64::max)
    }

    proptest! {
        #[test]
        fn no_way_to_cut_is_likelier(
            text in "[abc]{0,9}",
            pieces in prop::collection::btree_map("[abc]{1,4}", -9_i8..0, 1..12),
        ) {
            let pieces: Vec<_> = pieces.into_iter().map(|(piece, score)| (piece, f32::from(score))).collect();
            let data = VocabularyData {
                model: "t5",
                tokens: ["<unk>"].into_iter().chain(pieces.iter().map(|(piece, _)| piece.as_str())).collect(),
                scores: Some([0.0].into_iter().chain(pieces.iter().map(|(_, score)| *score)).collect()),
                token_type: Some([2].into_iter().chain(pieces.iter().map(|_| 1)).collect()),
                add_space_prefix: Some(false),
                ..VocabularyData::default()
            };
            let vocabulary = Vocabulary::new(&data).unwrap();
            let model = Unigram::new(&data, &vocabulary, Some(0)).unwrap();
            let found = model.best_steps(&text)[text.len()].score;
            prop_assert_eq!(found, best_score(&text, &pieces, model.unknown_score));
        }
    }
}
