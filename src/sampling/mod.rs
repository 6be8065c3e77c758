//! From logits to a token: parameters, processors, filters and a seeded draw.
//!
//! The chain runs in the order of llama.cpp's default one, so that settings tuned there mean the same here:
//!
//! 1. custom [`LogitsProcessor`]s, in the order in which they were added;
//! 2. bans (`ignore_eos`, `min_tokens`) and `logit_bias`;
//! 3. repetition, presence and frequency penalties over the last `repeat_last_n` tokens;
//! 4. `top_k`, `typical_p`, `top_p`, `min_p`, each over the survivors of the one before;
//! 5. `temperature`, last. (Hugging Face and vLLM divide by it first: there a high temperature also widens what
//!    `top_p` and `min_p` keep.)
//!
//! With temperature 0 the token is the argmax after step 3; of equal logits the lower id wins everywhere.
//!
//! The same seed and the same logits give the same tokens on every platform: the generator, the exponential and the
//! order of every sum are this module's own. Reported log probabilities are the model's, before any of the steps above,
//! as OpenAI and vLLM report them.

mod edits;
mod error;
mod filters;
mod logprobs;
mod params;
mod processor;
mod random;
#[cfg(test)]
mod reference;
mod sampler;

pub use error::SamplingError;
pub use logprobs::TokenLogprob;
pub use params::SamplingParams;
pub use processor::{LogitsProcessor, ProcessorError, TokenContext};
pub use sampler::{SampledToken, Sampler};
