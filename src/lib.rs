//! Language models on ordinary CPUs, inside your Rust program.

#![forbid(unsafe_code)]

mod cancel;
mod chat;
pub mod default_model;
mod error;
mod generator;
mod model;
mod sampling;
mod stop;

pub use cancel::CancelToken;
pub use chat::{
    ChatSession, ChatStream, ChatTemplate, Content, Message, RenderInput, Role, TemplateError,
};
pub use error::{Error, Result};
pub use generator::{
    Completion, FinishReason, Generator, Prompt, Request, Stats, Token, TokenStream, Usage,
    peak_memory,
};
pub use model::{Model, ModelBuilder};
pub use sampling::{
    LogitsProcessor, ProcessorError, SampledToken, Sampler, SamplingError, SamplingParams,
    TokenContext, TokenLogprob,
};
pub use stop::StopMatcher;

pub use dino_core::DType;
pub use dino_kernels::{Isa, KvType};
pub use dino_models::arch::{Architecture, LoadProgress};
pub use dino_models::tokenizer::{EncodeOptions, Tokenizer};
pub use dino_models::{Config, ModelError};
pub use {dino_core, dino_kernels, dino_models, dino_quant};
