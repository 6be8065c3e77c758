//! Arcee: a llama without gates, with squared ReLU.
//!
//! Arcee AI, "AFM-4.5B", 2025; the activation: So et al., arXiv:2109.08668. Reference: `ArceeForCausalLM` of
//! `transformers`. Files permute the rows of q and k as those of llama do.

use super::hugging_face::HuggingFace;
use super::{Activation, Architecture, Bias, Biases, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// AFM.
#[derive(Clone, Copy, Debug)]
pub struct Arcee;

impl Architecture for Arcee {
    fn names(&self) -> &[&str] {
        &["arcee"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let arcee = HuggingFace::decoder(&["arcee"], &["ArceeForCausalLM"])
            .activation("hidden_act", &["relu2"])
            .biases(
                "attention_bias",
                false,
                &["attn_q", "attn_k", "attn_v", "attn_output"],
            )
            .biases("mlp_bias", false, &["ffn_up", "ffn_down"])
            .interleaved();
        vec![arcee]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Interleaved)?;
        spec.biases = Biases::all(Bias::AsStored);
        spec.activation = Activation::ReluSquared;
        spec.without_gate();
        Ok(spec)
    }
}
