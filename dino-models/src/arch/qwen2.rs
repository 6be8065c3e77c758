//! Qwen2 and Qwen2.5: a llama with biases of queries, keys and values.
//!
//! Yang et al., arXiv:2407.10671. Reference: `Qwen2ForCausalLM` of `transformers`.

use super::{Architecture, Bias, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// Qwen2 and Qwen2.5 (no mixture of experts).
#[derive(Clone, Copy, Debug)]
pub struct Qwen2;

impl Architecture for Qwen2 {
    fn names(&self) -> &[&str] {
        &["qwen2"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
        spec.biases.inputs = Bias::Always;
        Ok(spec)
    }
}
