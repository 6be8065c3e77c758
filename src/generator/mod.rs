//! Text from a model: [`Generator`] takes a [`Request`], a [`TokenStream`] runs it token by token.

mod answer;
mod completion;
pub(crate) mod continuation;
mod generate;
mod overflow;
mod prompt;
mod request;
mod score;
mod sequence;
pub(crate) mod stats;
mod stream;
pub(crate) mod transcript;

pub use completion::{Completion, FinishReason, Token, Usage};
pub use generate::Generator;
pub use overflow::ContextOverflow;
pub use prompt::Prompt;
pub use request::Request;
pub use stats::{Stats, peak_memory};
pub use stream::TokenStream;
