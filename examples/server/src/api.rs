//! What the addresses answer.

pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod embeddings;
pub(crate) mod metrics;
pub(crate) mod models;
pub(crate) mod tokens;

mod answer;
mod chat_choice;
mod choices;
mod logprobs;
