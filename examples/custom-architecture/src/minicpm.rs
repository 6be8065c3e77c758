//! MiniCPM, by delta: a llama whose embeddings, residuals and logits are scaled.
//!
//! Hu et al., arXiv:2404.06395; the scales follow Yang et al., arXiv:2203.03466.

use dino_llm::dino_models::arch::{RopePairing, Spec};
use dino_llm::dino_models::format::Metadata;
use dino_llm::{Architecture, ModelError};

/// The MiniCPM family, as GGUF files hold it.
pub struct MiniCpm;

impl Architecture for MiniCpm {
    fn names(&self) -> &[&str] {
        &["minicpm"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Interleaved)?;
        spec.embedding_scale = Spec::positive(metadata, "embedding_scale")?;
        spec.residual_scale = Spec::positive(metadata, "residual_scale")?;
        // The key holds what logits are divided by.
        spec.logit_scale = Spec::positive(metadata, "logit_scale")?.map(f32::recip);
        Ok(spec)
    }
}
