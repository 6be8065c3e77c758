//! Hugging Face folders as models: what an architecture says so that `config.json` and safetensors become GGUF's keys
//! and tensors, from which everything else is shared.
//!
//! [`HuggingFace`] is that description. [`HuggingFace::decoder`] has what most decoders share, so that an architecture
//! says what differs: a key more, a tensor of another name, rows in another order. Nothing is guessed: a key of the
//! configuration that the description does not know, and a tensor that the model does not use, are errors that name
//! them.

mod adapted;
mod change;
mod describe;
mod inert;
mod rope;
mod tensors;
mod translate;
mod windows;

pub(crate) use adapted::LinearRows;
pub use change::{Change, RowOrder, interleave_keys, interleave_queries};
pub use describe::HuggingFace;
pub use translate::{FolderConfig, Translation};
pub use windows::Windows;

pub(super) use translate::translate;
