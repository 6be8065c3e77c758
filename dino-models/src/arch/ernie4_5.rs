//! ERNIE 4.5, its dense models: a llama, whose own weights pair neighbours.
//!
//! Baidu, "ERNIE 4.5", 2025. Reference: `Ernie4_5ForCausalLM` of `transformers`.

use super::hugging_face::HuggingFace;
use super::{Architecture, Bias, Biases, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// ERNIE 4.5 (no mixture of experts).
#[derive(Clone, Copy, Debug)]
pub struct Ernie45;

impl Architecture for Ernie45 {
    fn names(&self) -> &[&str] {
        &["ernie4_5"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        const BIASED: &[&str] = &[
            "attn_q",
            "attn_k",
            "attn_v",
            "attn_output",
            "ffn_gate",
            "ffn_up",
            "ffn_down",
        ];
        let ernie = HuggingFace::decoder(&["ernie4_5"], &["Ernie4_5ForCausalLM"])
            .rope_theta(500_000.0)
            .tied(true)
            .biases("use_bias", false, BIASED);
        vec![ernie]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Interleaved)?;
        spec.biases = Biases::all(Bias::AsStored);
        Ok(spec)
    }
}
