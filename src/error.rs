//! The one error of this crate.

use std::path::PathBuf;

use dino_kernels::KernelError;
use dino_models::ModelError;
use dino_models::format::FormatError;
use dino_models::packed_file::PackedFileError;
use dino_models::tokenizer::TokenizerError;

use crate::default_model::DefaultModelError;
use crate::{EngineError, SamplingError, TemplateError};

/// Why a model could not be loaded or a text not be generated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read, is damaged, or is of a format that is not read here.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The model could not be built or run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The packed file of a model that runs from one can neither be used nor written.
    #[error("the model needs a packed file to run from: {0}")]
    PackedFile(#[from] PackedFileError),
    /// The vocabulary is unusable, or a text or token does not go with it.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The instruction set or the threads that were asked for are not to be had.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The sampling parameters are wrong, or no token could be drawn.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// The chat template is unusable, or refused a conversation.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// An engine did not take a request, or did not finish it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The grammar that a text is to follow is wrong, or too much work.
    #[cfg(feature = "grammar")]
    #[error(transparent)]
    Grammar(#[from] crate::GrammarError),
    /// The model brings no chat template.
    #[error(
        "{}: the file has no chat template (tokenizer.chat_template), so it is no model for conversations: generate from \
         plain text, or use ChatSession::with_template", file.display()
    )]
    NoChatTemplate {
        /// The model file.
        file: PathBuf,
    },
    /// A saved sequence has no conversation beside it.
    #[error("{}: saved by a Generator, without the messages of a conversation", file.display())]
    NoConversation {
        /// The file.
        file: PathBuf,
    },
    /// There is no default model.
    #[error(transparent)]
    DefaultModel(#[from] DefaultModelError),
    /// The tokenizer knows more tokens than the model.
    #[error(
        "{}: the vocabulary has {tokens} tokens but the model gives {logits} logits; the file is damaged, or the \
         tokenizer is another model's", file.display()
    )]
    VocabularyMismatch {
        /// The model file.
        file: PathBuf,
        /// Tokens of the tokenizer.
        tokens: usize,
        /// Logits of the model.
        logits: usize,
    },
    /// A longer context was asked for than the model was trained for.
    #[error(
        "{}: a context of {asked} tokens was asked for, the model attends to 1 to {limit}; set context_length to that",
        file.display()
    )]
    ContextLength {
        /// The model file.
        file: PathBuf,
        /// Tokens asked for.
        asked: usize,
        /// Tokens that the model was trained for.
        limit: usize,
    },
    /// There is nothing to continue.
    #[error(
        "the prompt is empty and this model has no token that begins a text: give it at least one token"
    )]
    EmptyPrompt,
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;
