//! What can be wrong with a vocabulary, a text or a token id.

use thiserror::Error;

use crate::format::FormatError;

/// Why a tokenizer could not be built or used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A key of the vocabulary is missing or has the wrong type.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A text is not UTF-8.
    #[error("{key}[{index}] is not UTF-8; the file is damaged, fetch or convert it again")]
    NotText {
        /// The array.
        key: &'static str,
        /// Index of the text.
        index: usize,
    },
    /// `tokenizer.ggml.model` names a kind of vocabulary that is not supported.
    #[error(
        "tokenizer.ggml.model is {found:?}, but only {known:?} are supported; choose another model file"
    )]
    UnknownModel {
        /// The name in the file.
        found: String,
        /// The names that are supported.
        known: &'static [&'static str],
    },
    /// `tokenizer.ggml.pre` names a pre-tokenizer that is not supported; guessing would give wrong ids.
    #[error("tokenizer.ggml.pre is {found:?}, which is unknown; known are {}", known.join(", "))]
    UnknownPreTokenizer {
        /// The name in the file.
        found: String,
        /// The names that are supported.
        known: Vec<&'static str>,
    },
    /// A part of a `tokenizer.json` does something that is not done here; leaving it out would give wrong ids.
    #[error(
        "tokenizer.json: {part} is {found}, which is not read here (docs/formats.md); give ModelBuilder::tokenizer another"
    )]
    UnsupportedPart {
        /// Which part.
        part: String,
        /// What it is, or the beginning of it.
        found: String,
    },
    /// A key that the vocabulary needs is missing.
    #[error("{key} is missing; the file has no usable vocabulary, convert the model again")]
    MissingKey {
        /// The missing key.
        key: &'static str,
    },
    /// An array does not have one entry a token.
    #[error(
        "{key} has {found} entries for {expected} tokens; the file is damaged, fetch or convert it again"
    )]
    LengthMismatch {
        /// The array.
        key: &'static str,
        /// Number of tokens.
        expected: usize,
        /// Number of entries.
        found: usize,
    },
    /// An array is larger than any vocabulary.
    #[error("{key} has {found} entries or bytes, more than the {limit} that a vocabulary may have")]
    TooLarge {
        /// The array.
        key: &'static str,
        /// Its size.
        found: usize,
        /// The largest size that is accepted.
        limit: usize,
    },
    /// An entry of `tokenizer.ggml.token_type` is not a kind of token.
    #[error("tokenizer.ggml.token_type[{token}] is {found}; kinds are 0 to 6")]
    InvalidTokenType {
        /// Index of the entry.
        token: u32,
        /// The entry.
        found: i32,
    },
    /// A score cannot be ordered.
    #[error("tokenizer.ggml.scores[{token}] is not a number")]
    InvalidScore {
        /// Index of the entry.
        token: u32,
    },
    /// Two tokens have one text.
    #[error(
        "tokens {first} and {second} are both {text:?}; the file is damaged, fetch or convert it again"
    )]
    DuplicateToken {
        /// The lower id.
        first: u32,
        /// The higher id.
        second: u32,
        /// The text of both.
        text: String,
    },
    /// A token of kind byte is not written `<0x00>` to `<0xFF>`.
    #[error("token {token} is a byte token but its text is {text:?} instead of <0x..>")]
    InvalidByteToken {
        /// Its id.
        token: u32,
        /// Its text.
        text: String,
    },
    /// `tokenizer.ggml.precompiled_charsmap` is not what SentencePiece writes.
    #[error(
        "tokenizer.ggml.precompiled_charsmap cannot be read: {reason}; the file is damaged, fetch or convert it again"
    )]
    InvalidCharsmap {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A merge is not two texts with a space between them.
    #[error(
        "tokenizer.ggml.merges[{index}] is {text:?} instead of two texts with a space between them"
    )]
    MalformedMerge {
        /// Index of the merge.
        index: usize,
        /// The merge as it stands in the file.
        text: String,
    },
    /// A merge names a token, or gives one, that the vocabulary lacks.
    #[error("tokenizer.ggml.merges[{index}] needs the token {piece:?}, which the vocabulary lacks")]
    MergeNotInVocabulary {
        /// Index of the merge.
        index: usize,
        /// The text without a token.
        piece: String,
    },
    /// A token with a role is not of the vocabulary.
    #[error("{key} is {found}, but the vocabulary has {vocab_size} tokens")]
    SpecialOutOfRange {
        /// The key that gives the id.
        key: &'static str,
        /// The id.
        found: u32,
        /// Number of tokens.
        vocab_size: usize,
    },
    /// A token is to be added to every text, but the file does not say which.
    #[error("{key} is true, but {needs} is missing")]
    MissingSpecial {
        /// The key that asks for the token.
        key: &'static str,
        /// The key that should name it.
        needs: &'static str,
    },
    /// A token id that the vocabulary does not have.
    #[error("token {token} is not of the vocabulary, which has the ids 0 to {}", vocab_size.saturating_sub(1))]
    TokenOutOfRange {
        /// The id.
        token: u32,
        /// Number of tokens.
        vocab_size: usize,
    },
    /// A text has a byte for which the vocabulary has no token.
    #[error("the vocabulary has no token for the byte {byte:#04x}, which the text contains")]
    ByteNotInVocabulary {
        /// The byte.
        byte: u8,
    },
    /// A text is longer than token positions can count.
    #[error(
        "the text has {found} bytes, more than the {limit} that can be encoded at once; encode it in parts"
    )]
    TextTooLong {
        /// Its length in bytes.
        found: usize,
        /// The longest accepted length.
        limit: usize,
    },
}
