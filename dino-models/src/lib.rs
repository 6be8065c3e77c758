//! What a model is: file formats, tokenizers, architectures, KV cache.

#![forbid(unsafe_code)]

pub mod format;
pub mod tokenizer;
