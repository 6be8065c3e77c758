//! The facade on tiny models, whose logits transformers has computed.

mod common;
mod logits;
