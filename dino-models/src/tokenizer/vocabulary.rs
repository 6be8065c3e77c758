//! The token table: texts, kinds, and ids by text.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{TokenKind, TokenizerError, WordPieceOptions};

/// The most tokens, and the most merges, that a vocabulary may have: eight times the largest one published.
pub(super) const MOST_TOKENS: usize = 1 << 21;

/// A vocabulary as a model file states it, borrowed from there. Names are those of the keys, `tokenizer.ggml.*`.
#[derive(Debug, Clone, Default)]
pub struct VocabularyData<'a> {
    /// The kind of vocabulary: `gpt2` (byte-level pairs), `llama` (SentencePiece pairs), `bert` (WordPiece) or `t5`
    /// (SentencePiece unigrams).
    pub model: &'a str,
    /// The name of the pre-tokenizer of a byte-level vocabulary.
    pub pre: Option<&'a str>,
    /// The text of each token, `[vocab_size]`; of `bert` and `t5` as of `llama`, with `▁` for a space in front of a word.
    pub tokens: Vec<&'a str>,
    /// What joining two neighbours to a token is worth (`llama`), or its log probability (`t5`), `[vocab_size]`.
    pub scores: Option<Vec<f32>>,
    /// The kind of each token, `[vocab_size]`, as [`TokenKind::from_gguf`] reads it; all normal if missing.
    pub token_type: Option<Vec<i32>>,
    /// Pairs to be joined, best first, each `left right`; byte-level alone.
    pub merges: Option<Vec<&'a str>>,
    /// Begins a text; `[CLS]` for `bert`.
    pub bos_token_id: Option<u32>,
    /// Ends a text; `[SEP]` for `bert`.
    pub eos_token_id: Option<u32>,
    /// Ends a turn of a conversation.
    pub eot_token_id: Option<u32>,
    /// Ends a message that waits for an answer of a tool.
    pub eom_token_id: Option<u32>,
    /// Stands for what has no token.
    pub unknown_token_id: Option<u32>,
    /// Fills batches.
    pub padding_token_id: Option<u32>,
    /// Whether a text gets `bos_token_id` in front.
    pub add_bos_token: Option<bool>,
    /// Whether a text gets `eos_token_id` behind.
    pub add_eos_token: Option<bool>,
    /// Whether a text gets a space in front; SentencePiece alone.
    pub add_space_prefix: Option<bool>,
    /// Whether spaces at the ends of a text go and runs of them become one; `t5`, and `llama` with `prefix_first`.
    pub remove_extra_whitespaces: Option<bool>,
    /// Whether `add_space_prefix` is about the beginning of a text alone, and texts are brought into normal form, as the
    /// SentencePiece library does it; else what follows a special token gets a space too, as llama.cpp does it.
    pub prefix_first: bool,
    /// The normalisation that a SentencePiece model carries; `t5`, and `llama` with `prefix_first`.
    pub precompiled_charsmap: Option<Vec<u8>>,
    /// The normalisation of a `bert` vocabulary; guessed from its tokens if missing.
    pub word_piece: Option<WordPieceOptions>,
    /// The other parts of a `tokenizer.json`, as its JSON without vocabulary and merges
    /// (`tokenizer.huggingface.pipeline`). They say what is done to a text; what is above gives tokens alone.
    pub pipeline: Option<&'a str>,
}

/// Token texts in one buffer, their kinds, and an index of ids by text.
#[derive(Debug)]
pub(super) struct Vocabulary {
    text: String,
    /// Where the text of each token ends in `text`.
    ends: Vec<u32>,
    kinds: Vec<TokenKind>,
    ids: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Vocabulary {
    /// Checks the tokens and their kinds and copies them.
    pub(super) fn new(data: &VocabularyData<'_>) -> Result<Self, TokenizerError> {
        check_size("tokenizer.ggml.tokens", data.tokens.len(), MOST_TOKENS)?;
        check_size(
            "tokenizer.ggml.merges",
            data.merges.as_ref().map_or(0, Vec::len),
            MOST_TOKENS,
        )?;
        if data.tokens.is_empty() {
            return Err(TokenizerError::MissingKey {
                key: "tokenizer.ggml.tokens",
            });
        }
        let kinds = kinds(data)?;
        let (text, ends) = join(&data.tokens)?;
        let mut vocabulary = Vocabulary {
            text,
            ends,
            kinds,
            ids: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        };
        vocabulary.index(&data.tokens)?;
        Ok(vocabulary)
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text of `token` as it stands in the file.
    pub(super) fn text(&self, token: u32) -> Option<&str> {
        slice(&self.text, &self.ends, token)
    }

    pub(super) fn kind(&self, token: u32) -> Option<TokenKind> {
        self.kinds.get(token as usize).copied()
    }

    /// The token that is written `text` in the file.
    pub(super) fn find(&self, text: &str) -> Option<u32> {
        let same = |&token: &u32| slice(&self.text, &self.ends, token) == Some(text);
        self.ids.find(self.hasher.hash_one(text), same).copied()
    }

    /// Every token: its id, text and kind.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str, TokenKind)> {
        (0..self.len() as u32)
            .filter_map(|token| Some((token, self.text(token)?, self.kind(token)?)))
    }

    /// Fills the index. Empty texts, of which some files have several, cannot occur in a text and stay out.
    fn index(&mut self, tokens: &[&str]) -> Result<(), TokenizerError> {
        let Vocabulary {
            text,
            ends,
            ids,
            hasher,
            ..
        } = self;
        let hash = |token: &u32| hasher.hash_one(slice(text, ends, *token).unwrap_or_default());
        ids.reserve(tokens.len(), hash);
        for (token, &name) in (0..).zip(tokens).filter(|(_, name)| !name.is_empty()) {
            let hash_of_name = hasher.hash_one(name);
            let same = |&other: &u32| slice(text, ends, other) == Some(name);
            if let Some(&first) = ids.find(hash_of_name, same) {
                return Err(TokenizerError::DuplicateToken {
                    first,
                    second: token,
                    text: name.to_owned(),
                });
            }
            ids.insert_unique(hash_of_name, token, hash);
        }
        Ok(())
    }
}

fn slice<'t>(text: &'t str, ends: &[u32], token: u32) -> Option<&'t str> {
    let token = token as usize;
    let end = *ends.get(token)?;
    let start = token
        .checked_sub(1)
        .map_or(Some(0), |before| ends.get(before).copied())?;
    text.get(start as usize..end as usize)
}

/// Refuses arrays larger than `limit`.
pub(super) fn check_size(
    key: &'static str,
    found: usize,
    limit: usize,
) -> Result<(), TokenizerError> {
    if found > limit {
        return Err(TokenizerError::TooLarge { key, found, limit });
    }
    Ok(())
}

fn kinds(data: &VocabularyData<'_>) -> Result<Vec<TokenKind>, TokenizerError> {
    let expected = data.tokens.len();
    let Some(types) = &data.token_type else {
        return Ok(vec![TokenKind::Normal; expected]);
    };
    if types.len() != expected {
        return Err(TokenizerError::LengthMismatch {
            key: "tokenizer.ggml.token_type",
            expected,
            found: types.len(),
        });
    }
    (0..)
        .zip(types)
        .map(|(token, &found)| {
            TokenKind::from_gguf(found).ok_or(TokenizerError::InvalidTokenType { token, found })
        })
        .collect()
}

fn join(tokens: &[&str]) -> Result<(String, Vec<u32>), TokenizerError> {
    let mut text = String::with_capacity(tokens.iter().map(|token| token.len()).sum());
    let mut ends = Vec::with_capacity(tokens.len());
    for token in tokens {
        text.push_str(token);
        ends.push(
            u32::try_from(text.len()).map_err(|_| TokenizerError::TooLarge {
                key: "tokenizer.ggml.tokens",
                found: text.len(),
                limit: u32::MAX as usize,
            })?,
        );
    }
    Ok((text, ends))
}
