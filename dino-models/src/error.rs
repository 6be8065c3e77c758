//! The errors of this crate.

use crate::SavedError;
use crate::format::FormatError;
use dino_core::CoreError;
use dino_kernels::{KernelError, PackError};
use std::path::PathBuf;

/// Why a model could not be built or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The architecture gives logits alone.
    #[error(
        "models of this architecture give logits alone, and no rows to make vectors of texts from"
    )]
    NoHidden,
    /// The file is damaged, or lacks what the model needs.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A weight's bytes do not fit its shape.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// A weight could not be packed.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// An operation refused its input.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// No architecture of that name is registered.
    #[error(
        "{}: architecture `{found}` is not known; known are: {}. Another one can be added with \
         ModelBuilder::architecture", file.display(), known.join(", ")
    )]
    UnknownArchitecture {
        /// The file that names it.
        file: PathBuf,
        /// The name.
        found: String,
        /// The registered names.
        known: Vec<String>,
    },
    /// The file is an encoder's, which reads texts but does not write them.
    #[error(
        "{}: `{found}` is an encoder, not a language model: load it with Embedder, or with encoder::build_encoder",
        file.display()
    )]
    IsEncoder {
        /// The file.
        file: PathBuf,
        /// The architecture that it names.
        found: String,
    },
    /// A hyperparameter that no model can have.
    #[error("{}: {key} is {found}; expected {expected}", file.display())]
    Impossible {
        /// The file.
        file: PathBuf,
        /// The metadata key, or keys.
        key: String,
        /// What it says.
        found: String,
        /// What would be possible.
        expected: String,
    },
    /// A key that changes the model's numbers in a way that is not implemented.
    #[error("{}: {key} = {found} is not supported by this version", file.display())]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// The metadata key.
        key: String,
        /// What it says.
        found: String,
    },
    /// Keys that may change the model's numbers and that nothing has read.
    #[error(
        "{}: these keys are not understood and may change the model's results: {}", file.display(),
        keys.join(", ")
    )]
    UnreadKeys {
        /// The file.
        file: PathBuf,
        /// The keys.
        keys: Vec<String>,
    },
    /// An adapter that does not go with the model.
    #[error("{}: {message}", file.display())]
    Adapter {
        /// The adapter's file.
        file: PathBuf,
        /// What is wrong, with what was expected.
        message: String,
    },
    /// The weights do not fit in the memory that they may take, however they come and go.
    #[error(
        "a memory budget of {budget} bytes for weights is too small: the head and two layers of this model take {needed}"
    )]
    BudgetTooSmall {
        /// Bytes that weights may take.
        budget: usize,
        /// Bytes that would do.
        needed: usize,
    },
    /// Tensors that nothing has read.
    #[error("{}: {} are not used by this architecture: {}", file.display(), plural(tensors.len()),
        abbreviated(tensors))]
    UnreadTensors {
        /// The file.
        file: PathBuf,
        /// Their names.
        tensors: Vec<String>,
    },
    /// A token that the vocabulary does not have.
    #[error("token {token} is outside of the vocabulary of {vocabulary}")]
    TokenOutOfRange {
        /// The token.
        token: u32,
        /// Tokens in the vocabulary.
        vocabulary: usize,
    },
    /// A sequence would become longer than the model can attend to.
    #[error(
        "the context holds {limit} tokens, {needed} are needed: shorten the prompt or ask for fewer tokens"
    )]
    ContextOverflow {
        /// Tokens that would be needed.
        needed: usize,
        /// Tokens that fit.
        limit: usize,
    },
    /// The cache has no page left.
    #[error("the cache is full: {needed} pages of 64 tokens needed, {available} left")]
    CacheFull {
        /// Pages needed.
        needed: usize,
        /// Pages left.
        available: usize,
    },
    /// The pass was ended before it was done; nothing of it stays.
    #[error("the pass was cancelled")]
    Cancelled,
    /// A saved sequence could not be written, or is not one that this model can go on from.
    #[error(transparent)]
    Saved(#[from] SavedError),
    /// A sequence that the cache does not hold.
    #[error("the cache holds no such sequence")]
    UnknownSequence,
}

fn plural(count: usize) -> String {
    if count == 1 {
        "1 tensor".into()
    } else {
        format!("{count} tensors")
    }
}

fn abbreviated(names: &[String]) -> String {
    let shown = names
        .iter()
        .take(8)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > 8 {
        format!("{shown}, …")
    } else {
        shown
    }
}
