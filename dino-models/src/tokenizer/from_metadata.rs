//! Reads a vocabulary out of a model file.

use super::vocabulary::{MOST_TOKENS, check_size};
use super::{TokenizerError, VocabularyData};
use crate::format::{FromValue, Metadata, ScalarArray, StringArray};

impl<'a> VocabularyData<'a> {
    /// The vocabulary that `metadata` holds under `tokenizer.ggml.*`, borrowed from there.
    ///
    /// # Errors
    /// A key is missing or of the wrong type, an array has not one entry a token, or a text is not UTF-8.
    pub fn from_metadata(metadata: &'a Metadata) -> Result<Self, TokenizerError> {
        let tokens = strings(metadata, "tokenizer.ggml.tokens")?;
        let tokens = tokens.ok_or(TokenizerError::MissingKey {
            key: "tokenizer.ggml.tokens",
        })?;
        let count = tokens.len();
        // Encoders have a token that begins a text, for classification, and one that separates two of them.
        let begin: Option<u32> = metadata.maybe("tokenizer.ggml.cls_token_id")?;
        let separator: Option<u32> = metadata.maybe("tokenizer.ggml.seperator_token_id")?;
        let bos: Option<u32> = metadata.maybe("tokenizer.ggml.bos_token_id")?;
        let eos: Option<u32> = metadata.maybe("tokenizer.ggml.eos_token_id")?;
        Ok(VocabularyData {
            model: metadata.get("tokenizer.ggml.model")?,
            pre: metadata.maybe("tokenizer.ggml.pre")?,
            scores: numbers(metadata, "tokenizer.ggml.scores", count)?,
            token_type: numbers(metadata, "tokenizer.ggml.token_type", count)?,
            merges: strings(metadata, "tokenizer.ggml.merges")?,
            bos_token_id: bos.or(begin),
            eos_token_id: eos.or(separator),
            eot_token_id: metadata.maybe("tokenizer.ggml.eot_token_id")?,
            eom_token_id: metadata.maybe("tokenizer.ggml.eom_token_id")?,
            unknown_token_id: metadata.maybe("tokenizer.ggml.unknown_token_id")?,
            padding_token_id: metadata.maybe("tokenizer.ggml.padding_token_id")?,
            add_bos_token: metadata.maybe("tokenizer.ggml.add_bos_token")?,
            add_eos_token: metadata.maybe("tokenizer.ggml.add_eos_token")?,
            add_space_prefix: metadata.maybe("tokenizer.ggml.add_space_prefix")?,
            remove_extra_whitespaces: metadata.maybe("tokenizer.ggml.remove_extra_whitespaces")?,
            prefix_first: metadata
                .maybe("tokenizer.sentencepiece.prefix_first")?
                .unwrap_or(false),
            precompiled_charsmap: bytes(metadata, "tokenizer.ggml.precompiled_charsmap")?,
            word_piece: None,
            pipeline: metadata.maybe(super::pipeline::KEY)?,
            tokens,
        })
    }
}

fn strings<'a>(
    metadata: &'a Metadata,
    key: &'static str,
) -> Result<Option<Vec<&'a str>>, TokenizerError> {
    let Some(array) = metadata.maybe::<&StringArray>(key)? else {
        return Ok(None);
    };
    check_size(key, array.len(), MOST_TOKENS)?;
    let text = |index| {
        array
            .str(index)
            .ok_or(TokenizerError::NotText { key, index })
    };
    (0..array.len())
        .map(text)
        .collect::<Result<_, _>>()
        .map(Some)
}

/// An array of bytes, which files hold as signed or unsigned numbers of 8 bits.
fn bytes(metadata: &Metadata, key: &'static str) -> Result<Option<Vec<u8>>, TokenizerError> {
    const MOST_BYTES: usize = 1 << 24;
    let Some(array) = metadata.maybe::<&ScalarArray>(key)? else {
        return Ok(None);
    };
    check_size(key, array.len(), MOST_BYTES)?;
    let byte = |number: i32| {
        u8::try_from(number)
            .ok()
            .or(i8::try_from(number).ok().map(|signed| signed as u8))
    };
    let numbers: Vec<i32> = metadata.get(key)?;
    let bytes: Option<Vec<u8>> = numbers.into_iter().map(byte).collect();
    bytes.map(Some).ok_or(TokenizerError::InvalidCharsmap {
        reason: "it has numbers that are no bytes",
    })
}

/// The numbers of an array that has one entry a token; the length is checked before anything is copied.
fn numbers<'a, T>(
    metadata: &'a Metadata,
    key: &'static str,
    expected: usize,
) -> Result<Option<Vec<T>>, TokenizerError>
where
    Vec<T>: FromValue<'a>,
{
    let Some(array) = metadata.maybe::<&ScalarArray>(key)? else {
        return Ok(None);
    };
    if array.len() != expected {
        return Err(TokenizerError::LengthMismatch {
            key,
            expected,
            found: array.len(),
        });
    }
    Ok(metadata.maybe(key)?)
}
