//! SmolLM3: a llama whose every fourth layer does not rotate queries and keys.
//!
//! Hugging Face, "SmolLM3", 2025; layers without positions: Yang et al., arXiv:2501.18795. Reference:
//! `SmolLM3ForCausalLM` of `transformers`. Files permute the rows of q and k as those of llama do.

use super::hugging_face::{HuggingFace, Translation};
use super::{Architecture, Bias, Biases, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// SmolLM3.
#[derive(Clone, Copy, Debug)]
pub struct SmolLm3;

impl Architecture for SmolLm3 {
    fn names(&self) -> &[&str] {
        &["smollm3"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let smollm3 = HuggingFace::decoder(&["smollm3"], &["SmolLM3ForCausalLM"])
            .rope_theta(2_000_000.0)
            .tied(true)
            .only("use_sliding_window", &[false])
            .only("no_rope_layer_interval", &[4_u64])
            .then(check_layers)
            .biases(
                "attention_bias",
                false,
                &["attn_q", "attn_k", "attn_v", "attn_output"],
            )
            .biases("mlp_bias", false, &["ffn_gate", "ffn_up", "ffn_down"])
            .interleaved();
        vec![smollm3]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Interleaved)?;
        spec.biases = Biases::all(Bias::AsStored);
        for layer in spec.layers.iter_mut().skip(3).step_by(4) {
            layer.rotates = false;
        }
        Ok(spec)
    }
}

/// A list of layers must be the rule that GGUF files have.
fn check_layers(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    const KEY: &str = "no_rope_layers";
    let Some(rotates) = translation.config.maybe::<Vec<u32>>(KEY)? else {
        return Ok(());
    };
    let mut layers = (1..).zip(&rotates);
    if layers.all(|(layer, &rotates)| (rotates == 0) == (layer % 4 == 0)) {
        return Ok(());
    }
    Err(translation.unsupported(KEY, &format!("{rotates:?}")))
}
