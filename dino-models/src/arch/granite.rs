//! Granite: a llama, with multipliers of embeddings, scores, residuals and logits.
//!
//! IBM, "Granite 3.0 Language Models", 2024; Yang et al., arXiv:2203.03466 for the multipliers. Reference:
//! `GraniteForCausalLM` of `transformers`. Files permute the rows of q and k as those of llama do.

use super::{Architecture, Bias, Biases, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// Granite 3 (no mixture of experts).
#[derive(Clone, Copy, Debug)]
pub struct Granite;

impl Architecture for Granite {
    fn names(&self) -> &[&str] {
        &["granite"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Interleaved)?;
        spec.embedding_scale = Spec::positive(metadata, "embedding_scale")?;
        if let Some(scale) = Spec::positive(metadata, "attention.scale")? {
            spec.attention_scale = scale;
        }
        spec.residual_scale = Spec::positive(metadata, "residual_scale")?;
        // The key holds what logits are divided by.
        spec.logit_scale = Spec::positive(metadata, "logit_scale")?.map(f32::recip);
        spec.biases = Biases::all(Bias::AsStored);
        Ok(spec)
    }
}
