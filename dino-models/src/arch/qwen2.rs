//! Qwen2 and Qwen2.5: a llama with biases of queries, keys and values, in some with experts.
//!
//! Yang et al., arXiv:2407.10671. References: `Qwen2ForCausalLM` and `Qwen2MoeForCausalLM` of `transformers`.

use super::hugging_face::{HuggingFace, Windows};
use super::{Architecture, Bias, Experts, RopePairing, Shares, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// Qwen2 and Qwen2.5.
#[derive(Clone, Copy, Debug)]
pub struct Qwen2;

/// Qwen1.5-MoE and Qwen2-MoE: experts, and a shared one with a share of its own.
#[derive(Clone, Copy, Debug)]
pub struct Qwen2Moe;

impl Architecture for Qwen2 {
    fn names(&self) -> &[&str] {
        &["qwen2"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let qwen2 =
            HuggingFace::decoder(&["qwen2"], &["Qwen2ForCausalLM"]).windows(Windows::FromLayer);
        vec![qwen2]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
        spec.biases.inputs = Bias::Always;
        Ok(spec)
    }
}

impl Architecture for Qwen2Moe {
    fn names(&self) -> &[&str] {
        &["qwen2moe"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Qwen2.spec(metadata)?;
        let experts = Experts::read(metadata, Shares::OfAll)?;
        spec.with_experts(experts.with_shared(metadata, true)?);
        Ok(spec)
    }
}
