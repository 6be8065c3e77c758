//! What every tokenizer can do.

use std::borrow::Cow;
use std::ops::Range;

use super::{SpecialTokens, TextDecoder, TokenizerError};

/// How [`Tokenizer::encode`] treats special tokens. The default leaves the text as plain text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Add the tokens that the model wants around a text (most often one that begins it).
    pub add_special: bool,
    /// Turn the texts of control tokens, such as `<|im_start|>`, into their ids. Switch this on for rendered chat
    /// templates alone: a user who types such a text could otherwise speak for the system.
    pub parse_special: bool,
}

/// Turns text into token ids and back.
pub trait Tokenizer: Send + Sync {
    /// The ids of `text`. A byte that a byte-level vocabulary lacks is left out, as the models' own tokenizers do.
    ///
    /// # Errors
    /// The text is longer than 1 GiB, or has a character for which a vocabulary without byte tokens has no token.
    fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>, TokenizerError>;

    /// The ids of a text of which `content`, ascending ranges of bytes, comes from somebody who may not steer the model:
    /// texts of control tokens that touch it are plain text.
    ///
    /// Elsewhere as [`Self::encode`]. The provided method encodes piece by piece; where tokens may reach across, as in a
    /// vocabulary that merges letters, an implementation does better to look at the text as a whole.
    ///
    /// # Errors
    /// As those of [`Self::encode`].
    ///
    /// # Panics
    /// A range is not ascending, or does not lie at characters of `text`.
    fn encode_with_content(
        &self,
        text: &str,
        content: &[Range<usize>],
        options: EncodeOptions,
    ) -> Result<Vec<u32>, TokenizerError> {
        if !options.parse_special || content.is_empty() {
            return self.encode(text, options);
        }
        let bare = |parse_special| EncodeOptions {
            add_special: false,
            parse_special,
        };
        let mut tokens = Vec::new();
        let mut start = 0;
        for range in content {
            tokens.extend(self.encode(&text[start..range.start], bare(true))?);
            tokens.extend(self.encode(&text[range.clone()], bare(false))?);
            start = range.end;
        }
        tokens.extend(self.encode(&text[start..], bare(true))?);
        let special = self.special();
        if let Some(bos) = special
            .bos
            .filter(|_| options.add_special && special.add_bos)
        {
            tokens.insert(0, bos);
        }
        tokens.extend(
            special
                .eos
                .filter(|_| options.add_special && special.add_eos),
        );
        Ok(tokens)
    }

    /// The bytes that `token` stands for; they need not be whole characters. For special tokens, their text.
    ///
    /// # Errors
    /// `token` is not of the vocabulary.
    fn token_bytes(&self, token: u32) -> Result<Cow<'_, [u8]>, TokenizerError>;

    /// Number of tokens; ids are `0..vocab_size`.
    fn vocab_size(&self) -> usize;

    /// The tokens with a role, and how the vocabulary wants to be used.
    fn special(&self) -> &SpecialTokens;

    /// Whether `token` steers the model rather than stand for text; false for ids outside the vocabulary.
    fn is_special(&self, token: u32) -> bool;

    /// Whether a model that emits `token` has said all it has to say.
    fn is_end_of_generation(&self, token: u32) -> bool;

    /// The id of the token that is written `text`: the name of a special token, or the very text of a plain one.
    fn token_id(&self, text: &str) -> Option<u32>;

    /// The text of `tokens`, special ones left out, bytes that are no character as U+FFFD.
    ///
    /// # Errors
    /// An id is not of the vocabulary.
    fn decode(&self, tokens: &[u32]) -> Result<String, TokenizerError> {
        TextDecoder::whole().decode(self, tokens)
    }
}
