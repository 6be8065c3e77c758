//! EXAONE 4: norms behind the parts, normalised heads; in the large model a window in three of four layers, and rotation
//! in those alone.
//!
//! LG AI Research, arXiv:2507.11407. Reference: `Exaone4ForCausalLM` of `transformers`.

use super::hugging_face::HuggingFace;
use super::{Architecture, Norms, QkNorm, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// EXAONE 4.
#[derive(Clone, Copy, Debug)]
pub struct Exaone4;

impl Architecture for Exaone4 {
    fn names(&self) -> &[&str] {
        &["exaone4"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let exaone4 = HuggingFace::decoder(&["exaone4"], &["Exaone4ForCausalLM"])
            // `layer_types` says the same.
            .inert("sliding_window_pattern")
            .tensor("model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm")
            .tensor("model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm")
            .tensor(
                "model.layers.{}.post_attention_layernorm",
                "blk.{}.post_attention_norm",
            )
            .tensor(
                "model.layers.{}.post_feedforward_layernorm",
                "blk.{}.post_ffw_norm",
            );
        vec![exaone4]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
        spec.norms = Norms::Post;
        spec.qk_norm = QkNorm::Heads;
        spec.read_window(metadata, Some(4))?;
        if spec.layers.iter().any(|layer| layer.window.is_some()) {
            for layer in &mut spec.layers {
                layer.rotates = layer.window.is_some();
            }
        }
        Ok(spec)
    }
}
