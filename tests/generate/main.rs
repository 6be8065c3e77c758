//! The facade on tiny models, whose logits transformers has computed.

mod cancel;
mod chat;
mod common;
mod logits;
mod overflow;
mod sampling;
mod saving;
mod sequence;
mod special;
mod stopping;
mod stretching;
mod warm_up;
