//! OLMoE: a llama of experts, with normalised rows of queries and keys.
//!
//! Muennighoff et al., arXiv:2409.02060. Reference: `OlmoeForCausalLM` of `transformers`.

use super::hugging_face::HuggingFace;
use super::{Architecture, Experts, QkNorm, RopePairing, Shares, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// OLMoE.
#[derive(Clone, Copy, Debug)]
pub struct Olmoe;

impl Architecture for Olmoe {
    fn names(&self) -> &[&str] {
        &["olmoe"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let olmoe = HuggingFace::decoder(&["olmoe"], &["OlmoeForCausalLM"])
            .only("attention_bias", &[false])
            .tensor("model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm")
            .tensor("model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm")
            .experts();
        vec![olmoe]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
        spec.qk_norm = QkNorm::Rows;
        spec.with_experts(Experts::read(metadata, Shares::OfAll)?);
        Ok(spec)
    }
}
