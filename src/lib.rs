//! Language models on ordinary CPUs, inside your Rust program.
//!
//! Load a model file, ask for text, get it token by token. No server, no GPU, no C compiler.
//!
//! ```no_run
//! use dino_llm::{ChatSession, Generator, Model, SamplingParams};
//!
//! let model = Model::load("model.gguf")?;
//! let params = SamplingParams::default().with_max_tokens(100);
//!
//! // Continue a text, and watch it grow:
//! for token in Generator::new(&model).stream("Once upon a time", &params)? {
//!     print!("{}", token?.text);
//! }
//!
//! // Or hold a conversation:
//! let mut chat = ChatSession::new(&model)?.system("You answer in one sentence.");
//! println!("{}", chat.send("Why is the sky blue?", &params)?.text);
//! # Ok::<(), dino_llm::Error>(())
//! ```
//!
//! # What is where
//!
//! * [`Model`] is a loaded file: weights, tokenizer, threads. It is cheap to clone and shared by all that use it;
//!   [`ModelBuilder`] loads with other than default settings, architectures of your own among them.
//! * [`Generator`] continues a [`Prompt`] and remembers what it has run. Its [`TokenStream`] is an iterator that is
//!   cancelled by dropping it or by a [`CancelToken`]; a [`Completion`] is all of it, with [`Usage`] and [`Stats`].
//! * [`Engine`] runs many [`Request`]s together on a thread of its own; each has an [`EngineStream`].
//! * [`ChatSession`] keeps a conversation of [`Message`]s and renders it with the file's own [`ChatTemplate`]. An
//!   [`OutputParser`] takes thoughts and calls of tools out of an answer.
//! * [`SamplingParams`] says how tokens are chosen and when a text ends; a [`LogitsProcessor`] has the first word.
//! * [`quantize`] makes files smaller, [`evaluate`] says what that costs.
//! * [`default_model`] finds or fetches a small model to begin with.
//!
//! The crates below are re-exported: [`dino_models`] (file formats, tokenizers, architectures, the forward pass),
//! [`dino_kernels`] (what is computed, for each instruction set), [`dino_quant`] (encoders), [`dino_core`] (stored types).
//!
//! # What is guaranteed
//!
//! The same file, prompt, parameters and seed give the same text on the same instruction set, for any number of threads,
//! however the prompt was cut, and whether or not its beginning was remembered. A file's content gives an [`Error`],
//! never a panic.

#![forbid(unsafe_code)]

mod byte_size;
mod cancel;
mod chat;
pub mod default_model;
mod embedder;
mod engine;
mod error;
pub mod evaluate;
mod generator;
#[cfg(feature = "grammar")]
mod grammar;
mod model;
pub mod quantize;
mod sampling;
mod stop;

pub use byte_size::{ByteSize, ByteSizeError};
pub use cancel::CancelToken;
pub use chat::{
    ChatSession, ChatStream, ChatTemplate, Content, Message, OutputDelta, OutputFormat,
    OutputParser, ParsedOutput, ReasoningMarkers, RenderInput, RenderedPrompt, Role, TemplateError,
    ToolCall, ToolCallFormat,
};
pub use embedder::{Embedder, EmbedderBuilder};
pub use engine::{
    Energy, EnergyMeter, Engine, EngineError, EngineMetrics, EngineOptions, EngineStream, Finished,
    Histogram, MetricsSnapshot, Speculation,
};
pub use error::{Error, Result};
pub use generator::{
    Completion, ContextOverflow, FinishReason, Generator, Prompt, Request, Stats, Token,
    TokenStream, Usage, peak_memory,
};
#[cfg(feature = "grammar")]
pub use grammar::{Constraint, Grammar, GrammarCompiler, GrammarError};
pub use model::{
    Embedding, LoadPhase, Model, ModelBuilder, Power, RopeKind, RopeOverride, Threads,
    UnknownRopeKind,
};
pub use sampling::{
    LogitsProcessor, ProcessorError, SampledToken, Sampler, SamplingError, SamplingParams,
    TokenContext, TokenLogprob,
};
pub use stop::StopMatcher;

pub use dino_core::DType;
pub use dino_kernels::{Isa, KvType, KvTypes};
pub use dino_models::arch::{Architecture, LoadProgress};
pub use dino_models::encoder::Pooling;
pub use dino_models::tokenizer::{EncodeOptions, Tokenizer};
pub use dino_models::{
    Adapter, Config, ExpertStats, FileBeside, Int8, Int8Layer, ModelError, Residency,
};
pub use {dino_core, dino_kernels, dino_models, dino_quant};

/// The examples of the guides are tested.
#[cfg(doctest)]
#[doc = include_str!("../docs/memory.md")]
mod guides {}
