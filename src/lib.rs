//! Language models on ordinary CPUs, inside your Rust program.

#![forbid(unsafe_code)]

mod sampling;

pub use sampling::{
    LogitsProcessor, ProcessorError, SampledToken, Sampler, SamplingError, SamplingParams,
    TokenContext, TokenLogprob,
};
