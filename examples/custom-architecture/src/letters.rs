//! A tokenizer: one token a byte.

use dino_llm::dino_models::tokenizer::{SpecialTokens, TokenizerError};
use dino_llm::{EncodeOptions, Tokenizer};
use std::borrow::Cow;

/// 256 tokens, one for each byte, and no special ones.
#[derive(Default)]
pub struct Letters(SpecialTokens);

/// Every byte, so that one can be lent.
const BYTES: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        bytes[byte] = byte as u8;
        byte += 1;
    }
    bytes
};

impl Tokenizer for Letters {
    fn encode(&self, text: &str, _: EncodeOptions) -> Result<Vec<u32>, TokenizerError> {
        Ok(text.bytes().map(u32::from).collect())
    }

    fn token_bytes(&self, token: u32) -> Result<Cow<'_, [u8]>, TokenizerError> {
        let byte = BYTES
            .get(token as usize)
            .ok_or(TokenizerError::TokenOutOfRange {
                token,
                vocab_size: BYTES.len(),
            })?;
        Ok(Cow::Borrowed(std::slice::from_ref(byte)))
    }

    fn vocab_size(&self) -> usize {
        BYTES.len()
    }

    fn special(&self) -> &SpecialTokens {
        &self.0
    }

    fn is_special(&self, _: u32) -> bool {
        false
    }

    fn is_end_of_generation(&self, _: u32) -> bool {
        false
    }

    fn token_id(&self, text: &str) -> Option<u32> {
        match text.as_bytes() {
            [byte] => Some(u32::from(*byte)),
            _ => None,
        }
    }
}
