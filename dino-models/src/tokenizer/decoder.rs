//! Token ids to text, a token at a time.

use super::{Tokenizer, TokenizerError};

/// What decoding does with special tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SpecialText {
    /// They give no text.
    #[default]
    Omit,
    /// They give the text that names them, such as `<|im_end|>`.
    Show,
}

/// Turns a stream of tokens into a stream of text that never breaks a character.
///
/// A token may end inside a UTF-8 sequence; its bytes are held back until the next tokens complete them. Bytes that
/// can be no character become U+FFFD, as [`String::from_utf8_lossy`] places them. The pieces, concatenated, are what
/// the same decoder gives for all tokens at once.
#[derive(Debug, Clone, Default)]
pub struct TextDecoder {
    special: SpecialText,
    /// Whether the next byte, if a space, is the one that encoding put in front of the text.
    at_start: bool,
    /// The bytes of a character that is not complete yet.
    pending: Vec<u8>,
    text: String,
}

impl TextDecoder {
    /// Decodes tokens that are a whole text: where the vocabulary prefixes texts with a space, that space goes.
    pub fn whole() -> Self {
        TextDecoder {
            at_start: true,
            ..Self::default()
        }
    }

    /// Decodes tokens that continue a text, as generated ones do: a leading space is part of it.
    pub fn continuation() -> Self {
        Self::default()
    }

    /// Sets what special tokens give.
    #[must_use]
    pub fn special(mut self, special: SpecialText) -> Self {
        self.special = special;
        self
    }

    /// The text that `token` completes; empty while a character is not complete.
    ///
    /// # Errors
    /// `token` is not of the vocabulary; the decoder is as it was.
    pub fn push<T: Tokenizer + ?Sized>(
        &mut self,
        tokenizer: &T,
        token: u32,
    ) -> Result<&str, TokenizerError> {
        self.text.clear();
        self.append(tokenizer, token)?;
        Ok(&self.text)
    }

    /// The text still held back: U+FFFD if the tokens ended inside a character. The decoder may be used anew.
    pub fn finish(&mut self) -> &str {
        self.text.clear();
        self.flush();
        &self.text
    }

    /// The text of `tokens` and of the end of the stream, at once.
    ///
    /// # Errors
    /// An id is not of the vocabulary.
    pub fn decode<T: Tokenizer + ?Sized>(
        mut self,
        tokenizer: &T,
        tokens: &[u32],
    ) -> Result<String, TokenizerError> {
        self.text.clear();
        for &token in tokens {
            self.append(tokenizer, token)?;
        }
        self.flush();
        Ok(self.text)
    }

    fn append<T: Tokenizer + ?Sized>(
        &mut self,
        tokenizer: &T,
        token: u32,
    ) -> Result<(), TokenizerError> {
        let bytes = tokenizer.token_bytes(token)?;
        if self.special == SpecialText::Omit && tokenizer.is_special(token) {
            return Ok(());
        }
        let mut bytes = bytes.as_ref();
        if self.at_start && !bytes.is_empty() {
            self.at_start = false;
            if tokenizer.special().add_space_prefix {
                bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
            }
        }
        self.pending.extend_from_slice(bytes);
        self.take_characters();
        Ok(())
    }

    /// Moves what is decided of `pending` to `text`.
    fn take_characters(&mut self) {
        let mut taken = 0;
        for chunk in self.pending.utf8_chunks() {
            let undecided = taken + chunk.valid().len();
            self.text.push_str(chunk.valid());
            taken = undecided + chunk.invalid().len();
            if chunk.invalid().is_empty() {
                continue;
            }
            let may_continue = taken == self.pending.len()
                && std::str::from_utf8(chunk.invalid())
                    .is_err_and(|error| error.error_len().is_none());
            if may_continue {
                taken = undecided;
                break;
            }
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
        self.pending.drain(..taken);
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            self.pending.clear();
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}
