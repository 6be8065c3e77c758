//! Why a file could not be quantized.

use std::path::PathBuf;

use dino_models::format::FormatError;
use dino_quant::QuantError;
use dino_quant::plan::PlanError;

use super::CutError;

/// Why a file could not be quantized, or a model not be calibrated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The plan is wrong, or there is none of that size.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The model cannot lose such parts.
    #[error(transparent)]
    Cut(#[from] CutError),
    /// The model cannot be loaded or run.
    #[error(transparent)]
    Model(#[from] crate::Error),
    /// A tensor cannot be stored as planned.
    #[error("{}: tensor `{tensor}` cannot be stored: {source}", file.display())]
    Tensor {
        /// The source file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// Why.
        source: QuantError,
    },
    /// The result would replace what it is made from.
    #[error("{}: the output is the input or a part of it: give it another name", file.display())]
    SameFile {
        /// The output.
        file: PathBuf,
    },
    /// A Hugging Face folder without `tokenizer.json`: the result would read and write no text.
    #[error("{}: there is no tokenizer.json, which the output has to hold: download it too", folder.display())]
    NoTokenizer {
        /// The folder.
        folder: PathBuf,
    },
    /// The plan names tensors that the file does not have.
    #[error("{}: the plan is another model's: the file has no tensor `{tensor}`", file.display())]
    UnknownTensor {
        /// The source file.
        file: PathBuf,
        /// The first of them.
        tensor: String,
    },
    /// A file with other content than that of an importance matrix.
    #[error("{}: this is no importance matrix: {reason}", file.display())]
    NotAnImatrix {
        /// The file.
        file: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// A file without an int8 mode.
    #[error("{}: it holds no int8 mode: quantize --int8 writes one", file.display())]
    NoInt8 {
        /// The file.
        file: PathBuf,
    },
    /// A text that does not say what the tensors of this file cost.
    #[error("these are no measured sensitivities of this file: {reason}")]
    NotASensitivity {
        /// What is missing or wrong.
        reason: String,
    },
    /// The text is too short.
    #[error(
        "the text has {found} tokens, {needed} are needed: give a longer one, or smaller chunks"
    )]
    ShortText {
        /// Tokens needed.
        needed: usize,
        /// Tokens of the text.
        found: usize,
    },
    /// The user gave up; nothing is left of the result.
    #[error("cancelled; nothing was written")]
    Cancelled,
}
