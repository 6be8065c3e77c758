//! What can be wrong with sampling parameters or with logits.

use super::ProcessorError;

/// Why parameters were refused or no token could be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SamplingError {
    /// A parameter lies outside its range, or is not a number.
    #[error("sampling parameter `{field}` is {value}; set it to {allowed}")]
    OutOfRange {
        /// The field of [`SamplingParams`](super::SamplingParams).
        field: &'static str,
        /// What it was set to.
        value: f64,
        /// What it may be, in words.
        allowed: &'static str,
    },
    /// A stop string is empty, so it would match before the first token.
    #[error("stop string {index} is empty and would end every text at once; remove it")]
    EmptyStop {
        /// Its place in `stop`.
        index: usize,
    },
    /// More tokens are demanded than are allowed.
    #[error(
        "`min_tokens` is {min_tokens} but `max_tokens` is {max_tokens}; lower the first or raise the second"
    )]
    MinAboveMax {
        /// The demanded least number of tokens.
        min_tokens: usize,
        /// The allowed greatest number of tokens.
        max_tokens: usize,
    },
    /// A bias is NaN or positive infinity.
    #[error(
        "`logit_bias` of token {id} is {value}; use a finite number, or negative infinity to ban the token"
    )]
    InvalidBias {
        /// The biased token.
        id: u32,
        /// The bias.
        value: f32,
    },
    /// A bias names a token that the model does not have.
    #[error(
        "`logit_bias` names token {id}, but the model's vocabulary has {vocabulary} tokens; remove the entry"
    )]
    BiasOutOfVocabulary {
        /// The biased token.
        id: u32,
        /// Number of logits.
        vocabulary: usize,
    },
    /// A logit is NaN or positive infinity.
    #[error(
        "the logit of token {id} is {value}; the weights are damaged or a logits processor wrote it \
         (check the file's hash, then the processors)"
    )]
    InvalidLogit {
        /// The token.
        id: u32,
        /// Its logit.
        value: f32,
    },
    /// Nothing is left to choose from.
    #[error(
        "all {vocabulary} tokens are masked to negative infinity; relax the logits processors or `logit_bias`"
    )]
    AllMasked {
        /// Number of logits.
        vocabulary: usize,
    },
    /// A custom processor failed.
    #[error("logits processor {index} failed")]
    Processor {
        /// Its place in the order in which processors were added.
        index: usize,
        /// What it reported.
        source: ProcessorError,
    },
}
