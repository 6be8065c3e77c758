//! Extends dino-llm from another crate: two architectures, a tokenizer, a logits processor.
//!
//! * [`MiniCpm`] is a delta: a decoder that is described, and run by dino-llm's own forward pass.
//! * [`MinGru`] has a forward pass of its own: a recurrent model without attention.
//! * [`Letters`] is a tokenizer, one token a byte.
//! * [`NoRepeat`] is a logits processor.
//!
//! All of them get the rest for free: chat templates, sampling, batching, streaming, statistics.

mod letters;
mod make;
mod min_gru;
mod minicpm;
mod no_repeat;

pub use letters::Letters;
pub use make::{copy_as_minicpm, random_min_gru};
pub use min_gru::MinGru;
pub use minicpm::MiniCpm;
pub use no_repeat::NoRepeat;
