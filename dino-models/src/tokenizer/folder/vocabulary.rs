//! Tokens by id, and what they are for.

use crate::format::{Metadata, StringArray};

/// The types of tokens under GGUF's numbers, which are SentencePiece's.
pub(super) const NORMAL: i32 = 1;
pub(super) const UNKNOWN: i32 = 2;
pub(super) const CONTROL: i32 = 3;
pub(super) const USER_DEFINED: i32 = 4;
pub(super) const UNUSED: i32 = 5;
pub(super) const BYTE: i32 = 6;

/// Ids that no token has, between those of the vocabulary and of added tokens.
pub(super) const MAX_GAP: usize = 1 << 16;

/// Tokens by id, and their types.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    pub(super) tokens: Vec<String>,
    pub(super) types: Vec<i32>,
    /// What each is worth, where the model says so.
    pub(super) scores: Vec<f32>,
}

impl Vocabulary {
    pub(super) fn id(&self, text: &str) -> Option<u32> {
        let id = self.tokens.iter().position(|token| token == text)?;
        u32::try_from(id).ok()
    }

    /// Makes `text` the token `id`; tokens between the last one and it are fillers.
    pub(super) fn set(&mut self, id: usize, text: &str, kind: i32) {
        while self.tokens.len() <= id {
            self.tokens.push(format!("[PAD{}]", self.tokens.len()));
            self.types.push(UNUSED);
        }
        text.clone_into(&mut self.tokens[id]);
        self.types[id] = kind;
    }

    /// Puts the tokens into `metadata`, and scores if there are any.
    pub(super) fn write(self, metadata: &mut Metadata) {
        let tokens: StringArray = self.tokens.iter().collect();
        if !self.scores.is_empty() {
            let mut scores = self.scores;
            scores.resize(self.tokens.len(), 0.0);
            metadata.insert("tokenizer.ggml.scores", scores);
        }
        metadata.insert("tokenizer.ggml.tokens", tokens);
        metadata.insert("tokenizer.ggml.token_type", self.types);
    }
}

/// Whether a token stands for one byte: `<0x0A>`.
pub(super) fn is_byte(text: &str) -> bool {
    super::super::sentence_piece::byte_of(text).is_some()
}
