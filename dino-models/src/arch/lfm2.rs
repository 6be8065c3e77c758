//! LFM2: short convolutions between gates in most layers, attention in the others.
//!
//! Liquid AI, arXiv:2511.23404. Reference: `Lfm2ForCausalLM` of `transformers`. Layers without key/value heads are the
//! convolutional ones. Files name the norm before the head after the embedding, where `transformers` keeps it.

use super::recurrent::positive;
use super::{Architecture, Mixer, QkNorm, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// LFM2, dense.
#[derive(Clone, Copy, Debug)]
pub struct Lfm2;

impl Architecture for Lfm2 {
    fn names(&self) -> &[&str] {
        &["lfm2"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
        let taps = positive(metadata, "shortconv.l_cache")?;
        spec.mix_without_kv_heads(metadata, Mixer::ShortConvolution { taps })?;
        spec.qk_norm = QkNorm::Heads;
        spec.output_norm = "token_embd_norm";
        Ok(spec)
    }
}
