//! OLMo 2 and 3: norms behind the parts of a layer, and of whole rows of queries and keys.
//!
//! OLMo Team, arXiv:2501.00656 and arXiv:2512.13961. References: `Olmo2ForCausalLM` and `Olmo3ForCausalLM` of
//! `transformers`. Files of OLMo 3, which has a window in three of four layers, say `olmo2` too.

use super::{
    Architecture, HuggingFace, Norms, QkNorm, RopePairing, RopeScaling, RopeSpec, Spec, Windows,
};
use crate::ModelError;
use crate::format::Metadata;

/// OLMo 2 and 3.
#[derive(Clone, Copy, Debug)]
pub struct Olmo2;

impl Architecture for Olmo2 {
    fn names(&self) -> &[&str] {
        &["olmo2"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let family = |model_type, class| {
            HuggingFace::decoder(&[model_type], &[class])
                .biases(
                    "attention_bias",
                    false,
                    &["attn_q", "attn_k", "attn_v", "attn_output"],
                )
                .tensor("model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm")
                .tensor("model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm")
                .tensor(
                    "model.layers.{}.post_attention_layernorm",
                    "blk.{}.post_attention_norm",
                )
                .tensor(
                    "model.layers.{}.post_feedforward_layernorm",
                    "blk.{}.post_ffw_norm",
                )
        };
        let olmo3 = family("olmo3", "Olmo3ForCausalLM")
            .rope_theta(500_000.0)
            .windows(Windows::AllButEvery(4));
        vec![family("olmo2", "Olmo2ForCausalLM"), olmo3]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
        spec.norms = Norms::Post;
        spec.qk_norm = QkNorm::Rows;
        spec.read_window(metadata, Some(4))?;
        // The context of layers with a window is not stretched.
        let base = Spec::positive(metadata, "rope.freq_base_swa")?;
        spec.window_rope = Some(RopeSpec {
            base: base.unwrap_or(spec.rope.base),
            scaling: RopeScaling::None,
            ..spec.rope
        });
        Ok(spec)
    }
}
