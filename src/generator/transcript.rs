//! What a stream has given so far.

use super::{Completion, FinishReason, Stats, Token, Usage};

/// The tokens that a stream has given, and their text.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    text: String,
    tokens: Vec<Token>,
}

/// How a text ended.
pub(crate) struct Ending {
    pub(crate) finish_reason: FinishReason,
    pub(crate) stop: Option<String>,
    pub(crate) seed: u64,
    pub(crate) usage: Usage,
    pub(crate) stats: Stats,
}

impl Transcript {
    pub(crate) fn push(&mut self, token: &Token) {
        self.text.push_str(&token.text);
        self.tokens.push(token.clone());
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// All of it; only the tokens are gone from here then.
    pub(crate) fn complete(&mut self, ending: Ending) -> Completion {
        Completion {
            text: self.text.clone(),
            tokens: std::mem::take(&mut self.tokens),
            finish_reason: ending.finish_reason,
            stop: ending.stop,
            seed: ending.seed,
            usage: ending.usage,
            stats: ending.stats,
        }
    }
}
