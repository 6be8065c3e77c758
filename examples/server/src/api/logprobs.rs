//! Log probabilities in the two shapes of this API.

use dino_llm::{Token, Tokenizer};
use serde_json::{Map, Value as Json, json};

/// What stands for minus infinity, which JSON does not have.
const LEAST: f32 = -9999.0;

/// A token as conversations report it, with its alternatives.
pub(super) fn chat_entry(tokenizer: &dyn Tokenizer, token: &Token) -> Json {
    let mut entry = bare_entry(tokenizer, token.id, token.logprob.unwrap_or(LEAST));
    let alternatives = token.top_logprobs.iter();
    let alternatives = alternatives.map(|other| bare_entry(tokenizer, other.id, other.logprob));
    entry["top_logprobs"] = alternatives.collect();
    entry
}

fn bare_entry(tokenizer: &dyn Tokenizer, id: u32, logprob: f32) -> Json {
    let bytes = tokenizer.token_bytes(id).unwrap_or_default();
    json!({
        "token": String::from_utf8_lossy(&bytes), "logprob": logprob.max(LEAST), "bytes": bytes,
    })
}

/// Tokens as completions report them: `tokens`, `token_logprobs`, `top_logprobs`, `text_offset`.
pub(super) fn completion_entries(
    tokenizer: &dyn Tokenizer,
    tokens: &[Token],
    mut offset: usize,
) -> Json {
    let text = |id| {
        let bytes = tokenizer.token_bytes(id).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let mut offsets = Vec::with_capacity(tokens.len());
    let mut alternatives = Vec::with_capacity(tokens.len());
    for token in tokens {
        offsets.push(offset);
        offset += text(token.id).chars().count();
        let others = token.top_logprobs.iter();
        let others: Map<_, _> = others
            .map(|other| (text(other.id), other.logprob.max(LEAST).into()))
            .collect();
        alternatives.push(others);
    }
    let logprobs = tokens
        .iter()
        .map(|token| token.logprob.unwrap_or(LEAST).max(LEAST));
    json!({
        "tokens": tokens.iter().map(|token| text(token.id)).collect::<Vec<_>>(),
        "token_logprobs": logprobs.collect::<Vec<_>>(),
        "top_logprobs": alternatives,
        "text_offset": offsets,
    })
}
