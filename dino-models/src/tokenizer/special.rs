//! Tokens with a role, and the ones that end a generation.

use super::vocabulary::Vocabulary;
use super::{TokenKind, TokenizerError, VocabularyData};

/// The tokens with a role, and how a vocabulary wants texts to be framed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpecialTokens {
    /// Begins a text.
    pub bos: Option<u32>,
    /// Ends a text.
    pub eos: Option<u32>,
    /// Ends a turn of a conversation.
    pub eot: Option<u32>,
    /// Ends a message that waits for an answer of a tool.
    pub eom: Option<u32>,
    /// Stands for what has no token.
    pub unk: Option<u32>,
    /// Fills batches.
    pub pad: Option<u32>,
    /// Whether [`super::EncodeOptions::add_special`] puts `bos` in front.
    pub add_bos: bool,
    /// Whether [`super::EncodeOptions::add_special`] puts `eos` behind.
    pub add_eos: bool,
    /// Whether a text, and what follows a special token, is encoded as if a space stood in front of it.
    pub add_space_prefix: bool,
}

/// What holds where a file says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Defaults {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) unk: Option<u32>,
    pub(super) add_bos: bool,
    pub(super) add_eos: bool,
    pub(super) add_space_prefix: bool,
}

/// Texts that end a turn wherever they are control tokens, the usual ones first. Files seldom say which token does
/// (`eot_token_id`), so every engine knows them by name; this is the list of llama.cpp.
const END_OF_TURN: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
];

/// Further texts that end a generation wherever they are control tokens.
const END_OF_GENERATION: &[&str] = &[
    "<|eom_id|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "</s>",
    "[EOS]",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "[e~[",
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<reponame>",
    "<|file_sep|>",
];

impl SpecialTokens {
    /// Reads the roles and checks their ids.
    pub(super) fn new(
        data: &VocabularyData<'_>,
        defaults: Defaults,
        vocabulary: &Vocabulary,
    ) -> Result<Self, TokenizerError> {
        let vocab_size = vocabulary.len();
        let stated = |key, id: Option<u32>| match id {
            Some(found) if found as usize >= vocab_size => Err(TokenizerError::SpecialOutOfRange {
                key,
                found,
                vocab_size,
            }),
            id => Ok(id),
        };
        let or_default = |id: Option<u32>, default: Option<u32>| {
            id.or_else(|| {
                default.filter(|&token| vocabulary.kind(token).is_some_and(TokenKind::is_special))
            })
        };
        let bos = stated("tokenizer.ggml.bos_token_id", data.bos_token_id)?;
        let eos = stated("tokenizer.ggml.eos_token_id", data.eos_token_id)?;
        let unk = stated("tokenizer.ggml.unknown_token_id", data.unknown_token_id)?;
        let eot = stated("tokenizer.ggml.eot_token_id", data.eot_token_id)?;
        let mut special = SpecialTokens {
            bos: or_default(bos, defaults.bos),
            eos: or_default(eos, defaults.eos),
            eot: eot.or_else(|| {
                END_OF_TURN
                    .iter()
                    .find_map(|text| control(vocabulary, text))
            }),
            eom: stated("tokenizer.ggml.eom_token_id", data.eom_token_id)?,
            unk: or_default(unk, defaults.unk),
            pad: stated("tokenizer.ggml.padding_token_id", data.padding_token_id)?,
            add_space_prefix: defaults.add_space_prefix && data.add_space_prefix.unwrap_or(true),
            ..SpecialTokens::default()
        };
        special.add_bos = adds("bos", data.add_bos_token, defaults.add_bos, special.bos)?;
        special.add_eos = adds("eos", data.add_eos_token, defaults.add_eos, special.eos)?;
        Ok(special)
    }

    /// The tokens that end a generation, in ascending order.
    pub(super) fn end_of_generation(&self, vocabulary: &Vocabulary) -> Vec<u32> {
        let named = |text: &&str| control(vocabulary, text);
        let mut ends: Vec<u32> = END_OF_TURN
            .iter()
            .chain(END_OF_GENERATION)
            .filter_map(named)
            .collect();
        // In these two vocabularies the token ends a part of a message, not the message.
        let has = |text| {
            ends.iter()
                .any(|&token| vocabulary.text(token) == Some(text))
        };
        let end_is_inner =
            has("<|call|>") && has("<|return|>") || has("<|calls|>") && has("<|flush|>");
        let close_is_inner = has("<|tool_response>");
        ends.retain(|&token| match vocabulary.text(token) {
            Some("<|end|>") => !end_is_inner,
            Some("</s>") => !close_is_inner,
            _ => true,
        });
        let eot = self
            .eot
            .filter(|&token| !(end_is_inner && vocabulary.text(token) == Some("<|end|>")));
        ends.extend([self.eos, eot, self.eom].into_iter().flatten());
        ends.sort_unstable();
        ends.dedup();
        ends
    }
}

/// The token written `text`, if it is one that does not come from plain text.
fn control(vocabulary: &Vocabulary, text: &str) -> Option<u32> {
    let token = vocabulary.find(text)?;
    let kind = vocabulary.kind(token)?;
    matches!(kind, TokenKind::Control | TokenKind::UserDefined).then_some(token)
}

fn adds(
    name: &'static str,
    stated: Option<bool>,
    default: bool,
    token: Option<u32>,
) -> Result<bool, TokenizerError> {
    let (key, needs) = match name {
        "bos" => (
            "tokenizer.ggml.add_bos_token",
            "tokenizer.ggml.bos_token_id",
        ),
        _ => (
            "tokenizer.ggml.add_eos_token",
            "tokenizer.ggml.eos_token_id",
        ),
    };
    match (stated, token) {
        (Some(true), None) => Err(TokenizerError::MissingSpecial { key, needs }),
        (Some(add), _) => Ok(add),
        (None, token) => Ok(default && token.is_some()),
    }
}
