//! Granite: a llama, with multipliers of embeddings, scores, residuals and logits, in some with experts.
//!
//! IBM, "Granite 3.0 Language Models", 2024; Yang et al., arXiv:2203.03466 for the multipliers. References:
//! `GraniteForCausalLM` and `GraniteMoeForCausalLM` of `transformers`. Files permute the rows of q and k as those of llama do.

use super::hugging_face::{Change, HuggingFace, interleave_keys, interleave_queries};
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
        let granite = HuggingFace::decoder(&["granite"], &["GraniteForCausalLM"])
            .key("attention_multiplier", "attention.scale")
            .key("embedding_multiplier", "embedding_scale")
            .key("residual_multiplier", "residual_scale")
            .key("logits_scaling", "logit_scale")
            .biases(
                "attention_bias",
                false,
                &["attn_q", "attn_k", "attn_v", "attn_output"],
            )
            .biases("mlp_bias", false, &["ffn_gate", "ffn_up", "ffn_down"])
            .change("attn_q.weight", Change::Rows(interleave_queries))
            .change("attn_q.bias", Change::Rows(interleave_queries))
            .change("attn_k.weight", Change::Rows(interleave_keys))
            .change("attn_k.bias", Change::Rows(interleave_keys));
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

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Granite.spec(metadata)?;
        let experts = Experts::read(metadata, Shares::OfChosen)?;
        spec.with_experts(experts.with_shared(metadata, false)?);
        Ok(spec)
    }
}
