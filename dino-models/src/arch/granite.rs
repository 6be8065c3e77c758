//! Granite: a llama, with multipliers of embeddings, scores, residuals and logits, in some with experts.
//!
//! IBM, "Granite 3.0 Language Models", 2024; Yang et al., arXiv:2203.03466 for the multipliers. References:
//! `GraniteForCausalLM` and `GraniteMoeForCausalLM` of `transformers`. Files permute the rows of q and k as those of llama do.

use super::hugging_face::HuggingFace;
use super::{Architecture, Bias, Biases, Experts, RopePairing, Shares, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// Granite 3.
#[derive(Clone, Copy, Debug)]
pub struct Granite;

/// Granite 3 with experts, and in some a shared one.
#[derive(Clone, Copy, Debug)]
pub struct GraniteMoe;

impl Architecture for Granite {
    fn names(&self) -> &[&str] {
        &["granite"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let granite = family(&["granite"], &["GraniteForCausalLM"]).biases(
            "mlp_bias",
            false,
            &["ffn_gate", "ffn_up", "ffn_down"],
        );
        vec![granite]
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

impl Architecture for GraniteMoe {
    fn names(&self) -> &[&str] {
        &["granitemoe"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let granite_moe = family(&["granitemoe"], &["GraniteMoeForCausalLM"])
            .key("num_local_experts", "expert_count")
            .key("num_experts_per_tok", "expert_used_count");
        vec![with_experts(granite_moe)]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Granite.spec(metadata)?;
        let experts = Experts::read(metadata, Shares::OfChosen)?;
        spec.with_experts(experts.with_shared(metadata, false)?);
        Ok(spec)
    }
}

/// The experts of a layer as GGUF has them.
pub(super) fn with_experts(model: HuggingFace) -> HuggingFace {
    model
        .tensor(
            "model.layers.{}.block_sparse_moe.router.layer",
            "blk.{}.ffn_gate_inp",
        )
        .split(
            "model.layers.{}.block_sparse_moe.input_linear",
            &["blk.{}.ffn_gate_exps", "blk.{}.ffn_up_exps"],
        )
        .tensor(
            "model.layers.{}.block_sparse_moe.output_linear",
            "blk.{}.ffn_down_exps",
        )
}

/// Folders of all.
pub(super) fn family(model_types: &[&'static str], classes: &[&'static str]) -> HuggingFace {
    HuggingFace::decoder(model_types, classes)
        .key("attention_multiplier", "attention.scale")
        .key("embedding_multiplier", "embedding_scale")
        .key("residual_multiplier", "residual_scale")
        .key("logits_scaling", "logit_scale")
        .biases(
            "attention_bias",
            false,
            &["attn_q", "attn_k", "attn_v", "attn_output"],
        )
        .interleaved()
}
