//! GLM-4 (0414): sandwich norms, half of a head rotated, gate and up as one matrix.
//!
//! GLM Team, arXiv:2406.12793. Reference: `Glm4ForCausalLM` of `transformers`.

use super::hugging_face::HuggingFace;
use super::{Architecture, Bias, Matrices, Norms, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// GLM-4 and GLM-Z1 of 2025.
#[derive(Clone, Copy, Debug)]
pub struct Glm4;

impl Architecture for Glm4 {
    fn names(&self) -> &[&str] {
        &["glm4"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let glm4 = HuggingFace::decoder(&["glm4"], &["Glm4ForCausalLM"])
            .rotated_part(0.5)
            .biases("attention_bias", false, &["attn_q", "attn_k", "attn_v"])
            .tensor(
                "model.layers.{}.post_self_attn_layernorm",
                "blk.{}.post_attention_norm",
            )
            .tensor("model.layers.{}.post_mlp_layernorm", "blk.{}.post_ffw_norm")
            .tensor("model.layers.{}.mlp.gate_up_proj", "blk.{}.ffn_up");
        vec![glm4]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Interleaved)?;
        spec.norms = Norms::Sandwich;
        spec.matrices = Matrices::FusedGate;
        spec.biases.inputs = Bias::AsStored;
        Ok(spec)
    }
}
