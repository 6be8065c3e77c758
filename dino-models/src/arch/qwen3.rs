//! Qwen3: a llama with normalised query and key heads.
//!
//! Yang et al., arXiv:2505.09388. Reference: `Qwen3ForCausalLM` of `transformers`.

use super::{Architecture, QkNorm, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// Qwen3 (no mixture of experts).
#[derive(Clone, Copy, Debug)]
pub struct Qwen3;

impl Architecture for Qwen3 {
    fn names(&self) -> &[&str] {
        &["qwen3"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
        spec.qk_norm = QkNorm::Heads;
        Ok(spec)
    }
}
