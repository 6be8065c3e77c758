//! Falcon: parallel parts with one norm, one key and value for all heads, no biases but the norms'.
//!
//! Almazrouei et al., arXiv:2311.16867. Reference: `FalconForCausalLM` of `transformers`. The two norms of the 40B and
//! 180B models are not supported: their tensors are an error.

use super::hugging_face::{HuggingFace, Translation};
use super::{Activation, Architecture, Matrices, Norm, Norms, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// Falcon 7B.
#[derive(Clone, Copy, Debug)]
pub struct Falcon;

impl Architecture for Falcon {
    fn names(&self) -> &[&str] {
        &["falcon"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let falcon = HuggingFace::decoder(&["falcon"], &["FalconForCausalLM"])
            .layer_norms("layer_norm_epsilon")
            .activation("activation", &["gelu"])
            .default("max_position_embeddings", 2048_u32)
            .only("multi_query", &[true])
            .only("parallel_attn", &[true])
            .only("new_decoder_architecture", &[false])
            .only("alibi", &[false])
            .only("bias", &[false])
            // They follow from those above.
            .inert("num_kv_heads")
            .inert("num_key_value_heads")
            .inert("intermediate_size")
            .then(sizes)
            .tied(true)
            .prefix("transformer.", "model.")
            .tensor("model.word_embeddings", "token_embd")
            .tensor("model.ln_f", "output_norm")
            .tensor("model.h.{}.input_layernorm", "blk.{}.attn_norm")
            .tensor(
                "model.h.{}.self_attention.query_key_value",
                "blk.{}.attn_qkv",
            )
            .tensor("model.h.{}.self_attention.dense", "blk.{}.attn_output")
            .tensor("model.h.{}.mlp.dense_h_to_4h", "blk.{}.ffn_up")
            .tensor("model.h.{}.mlp.dense_4h_to_h", "blk.{}.ffn_down");
        vec![falcon]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let norm = Norm::layer(metadata, true)?;
        let mut spec = Spec::with_norm(metadata, RopePairing::Halves, norm)?;
        spec.norms = Norms::ParallelShared;
        spec.matrices = Matrices::Fused;
        spec.activation = Activation::GeluErf;
        spec.without_gate();
        Ok(spec)
    }
}

/// One key and value; inside the feed-forward part four times the hidden size, where the configuration does not say.
fn sizes(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    translation.set_from("multi_query", "attention.head_count_kv", 1_u32)?;
    let size = match translation.config.maybe::<usize>("ffn_hidden_size")? {
        Some(size) => size,
        None => translation
            .config
            .get::<usize>("hidden_size")?
            .saturating_mul(4),
    };
    translation.set_from("ffn_hidden_size", "feed_forward_length", size)
}
