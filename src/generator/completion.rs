//! What a generation gives.

use serde::Serialize;

use super::Stats;
use crate::TokenLogprob;

/// A generated token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// The text that it completes. Empty while a character is not complete, while the text may still become a stop
    /// string, and for special tokens; so texts only make sense joined.
    pub text: String,
    /// Its log probability under the model, before processors, penalties, filters and temperature; present when
    /// [`SamplingParams::logprobs`](crate::SamplingParams::logprobs) is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprob: Option<f32>,
    /// The likeliest tokens under the same distribution, likeliest first; as many as were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub top_logprobs: Vec<TokenLogprob>,
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The model ended it, or a stop string or stop token did.
    Stop,
    /// `max_tokens` were generated, or the context is full.
    Length,
    /// It was cancelled.
    Cancelled,
    /// Its time was over; see [`Request::deadline`](crate::Request::deadline).
    Deadline,
    /// An error ended it, which the stream has given.
    Failed,
}

/// Tokens counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Tokens of the prompt, without those that were dropped before it was run.
    pub prompt_tokens: usize,
    /// Tokens generated, the one that ended the text among them.
    pub completion_tokens: usize,
    /// Tokens of the prompt that the model remembered and that were not run again.
    pub cached_tokens: usize,
    /// Tokens of prompt and answer that were dropped because the context was full; see
    /// [`ContextOverflow`](crate::ContextOverflow).
    pub truncated_tokens: usize,
}

/// A generated text.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Completion {
    /// The text, without the prompt and without what ended it.
    pub text: String,
    /// Its tokens. If a token ended the text, it is the last of them, and its text is what had been held back.
    pub tokens: Vec<Token>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The stop string that ended it.
    pub stop: Option<String>,
    /// The seed that gives the same text again.
    pub seed: u64,
    /// Tokens counted.
    pub usage: Usage,
    /// How fast it was.
    pub stats: Stats,
}
