//! OLMoE: a llama of experts, with normalised rows of queries and keys.
//!
//! Muennighoff et al., arXiv:2409.02060. Reference: `OlmoeForCausalLM` of `transformers`.

use super::{Architecture, Experts, QkNorm, RopePairing, Shares, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// OLMoE.
#[derive(Clone, Copy, Debug)]
pub struct Olmoe;

impl Architecture for Olmoe {
    fn names(&self) -> &[&str] {
        &["olmoe"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
        spec.qk_norm = QkNorm::Rows;
        spec.with_experts(Experts::read(metadata, Shares::OfAll)?);
        Ok(spec)
    }
}
