//! The vocabulary as the grammars' engine wants it: bytes of every token, in a trie.

use dino_models::tokenizer::Tokenizer;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use std::sync::Arc;

use super::GrammarError;
use crate::Result;

/// The trie of a vocabulary; `ends` are the tokens that end a text.
pub(super) fn token_environment(tokenizer: &dyn Tokenizer, ends: &[u32]) -> Result<TokEnv> {
    let size = tokenizer.vocab_size() as u32;
    let ends: Vec<u32> = ends.iter().copied().filter(|&end| end < size).collect();
    let &first = ends.first().ok_or(GrammarError::NoEnd)?;
    let words = (0..size)
        .map(|token| word(tokenizer, token, ends.contains(&token)))
        .collect::<Result<Vec<_>>>()?;
    let trie = TokTrie::from(&TokRxInfo::new(size, first), &words).with_eos_tokens(&ends);
    // Tokens are never forced, only masked, so that it does not matter that the trie does not cut texts as the tokenizer.
    Ok(Arc::new(ApproximateTokEnv::new(trie)))
}

/// The bytes of a token. Those that are no text begin with a byte that no text has.
fn word(tokenizer: &dyn Tokenizer, token: u32, is_end: bool) -> Result<Vec<u8>> {
    const MARKER: u8 = TokTrie::SPECIAL_TOKEN_MARKER;
    let bytes = tokenizer.token_bytes(token)?;
    if is_end || tokenizer.is_special(token) {
        return Ok([&[MARKER], bytes.as_ref()].concat());
    }
    // A byte token that is in no text, and would be taken for a marker.
    if bytes.contains(&MARKER) {
        return Ok(Vec::new());
    }
    Ok(bytes.into_owned())
}
