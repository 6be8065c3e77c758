//! Phi-3 and Phi-4: a llama whose files fuse q, k and v, and gate and up.
//!
//! Abdin et al., arXiv:2404.14219. Reference: `Phi3ForCausalLM` of `transformers`. Tensors of the file say that its
//! context was stretched by longrope.

use super::{Architecture, HuggingFace, Matrices, RopePairing, Spec, Windows};
use crate::ModelError;
use crate::format::Metadata;

/// Phi-3, Phi-3.5 and Phi-4.
#[derive(Clone, Copy, Debug)]
pub struct Phi3;

impl Architecture for Phi3 {
    fn names(&self) -> &[&str] {
        &["phi3"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let phi3 = HuggingFace::decoder(&["phi3"], &["Phi3ForCausalLM"])
            .windows(Windows::All)
            .tensor("model.layers.{}.self_attn.qkv_proj", "blk.{}.attn_qkv")
            .tensor("model.layers.{}.mlp.gate_up_proj", "blk.{}.ffn_up")
            // What longrope's factors were chosen for; nothing else uses it.
            .default("original_max_position_embeddings", 4096_u64)
            .inert("original_max_position_embeddings");
        vec![phi3]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
        spec.matrices = Matrices::Fused;
        // Converters write 0 for a model without a window.
        if metadata
            .scoped()?
            .maybe::<usize>("attention.sliding_window")?
            != Some(0)
        {
            spec.read_window(metadata, None)?;
        }
        Ok(spec)
    }
}
