//! Qwen3: a llama with normalised query and key heads, in some with experts.
//!
//! Yang et al., arXiv:2505.09388. References: `Qwen3ForCausalLM` and `Qwen3MoeForCausalLM` of `transformers`.

use super::hugging_face::{HuggingFace, Windows};
use super::qwen2::no_dense_layers;
use super::{Architecture, Experts, QkNorm, RopePairing, Shares, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// Qwen3.
#[derive(Clone, Copy, Debug)]
pub struct Qwen3;

/// Qwen3-MoE.
#[derive(Clone, Copy, Debug)]
pub struct Qwen3Moe;

impl Architecture for Qwen3 {
    fn names(&self) -> &[&str] {
        &["qwen3"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        vec![family(&["qwen3"], &["Qwen3ForCausalLM"])]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
        spec.qk_norm = QkNorm::Heads;
        Ok(spec)
    }
}

impl Architecture for Qwen3Moe {
    fn names(&self) -> &[&str] {
        &["qwen3moe"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let qwen3_moe = family(&["qwen3_moe"], &["Qwen3MoeForCausalLM"])
            .experts()
            .default("norm_topk_prob", false)
            .then(no_dense_layers)
            .key("moe_intermediate_size", "expert_feed_forward_length");
        vec![qwen3_moe]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Qwen3.spec(metadata)?;
        spec.with_experts(Experts::read(metadata, Shares::OfChosen)?);
        Ok(spec)
    }
}

/// Folders of both.
fn family(model_types: &[&'static str], classes: &[&'static str]) -> HuggingFace {
    HuggingFace::decoder(model_types, classes)
        .windows(Windows::FromLayer)
        .biases(
            "attention_bias",
            false,
            &["attn_q", "attn_k", "attn_v", "attn_output"],
        )
        .tensor("model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm")
        .tensor("model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm")
}
