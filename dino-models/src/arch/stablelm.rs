//! StableLM: layer norms, heads that rotate in part, and in the largest models parallel parts with one norm.
//!
//! Bellagente et al., arXiv:2402.17834. Reference: `StableLmForCausalLM` of `transformers`.

use super::hugging_face::HuggingFace;
use super::{Architecture, Bias, Norm, Norms, QkNorm, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// StableLM 2 and StableLM 3B.
#[derive(Clone, Copy, Debug)]
pub struct StableLm;

impl Architecture for StableLm {
    fn names(&self) -> &[&str] {
        &["stablelm"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let stablelm = HuggingFace::decoder(&["stablelm"], &["StableLmForCausalLM"])
            .rotated_part(0.25)
            .layer_norms("layer_norm_eps")
            .optional("use_parallel_residual", "use_parallel_residual")
            .biases("use_qkv_bias", false, &["attn_q", "attn_k", "attn_v"])
            // Whether there are such norms is seen by their weights.
            .inert("qk_layernorm")
            .tensor(
                "model.layers.{}.self_attn.q_layernorm.norms.{}",
                "blk.{}.attn_q_norm",
            )
            .tensor(
                "model.layers.{}.self_attn.k_layernorm.norms.{}",
                "blk.{}.attn_k_norm",
            );
        vec![stablelm]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let norm = Norm::layer(metadata, true)?;
        let mut spec = Spec::with_norm(metadata, RopePairing::Halves, norm)?;
        spec.biases.inputs = Bias::AsStored;
        spec.qk_norm = QkNorm::EachHead;
        if metadata.scoped()?.maybe("use_parallel_residual")? == Some(true) {
            spec.norms = Norms::ParallelShared;
        }
        Ok(spec)
    }
}
