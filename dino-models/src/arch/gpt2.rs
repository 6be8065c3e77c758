//! GPT-2: learned positions, layer norms, biases everywhere, a plain feed-forward part.
//!
//! Radford et al., "Language Models are Unsupervised Multitask Learners", 2019. Reference: `GPT2LMHeadModel` of
//! `transformers`. The tanh formula of GELU comes from here.

use super::hugging_face::{Change, HuggingFace, Translation};
use super::{Activation, Architecture, Bias, Biases, Matrices, Norm, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// GPT-2.
#[derive(Clone, Copy, Debug)]
pub struct Gpt2;

impl Architecture for Gpt2 {
    fn names(&self) -> &[&str] {
        &["gpt2"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let gpt2 = family(&["gpt2"], &["GPT2LMHeadModel"])
            .change("attn_qkv.weight", Change::Transpose)
            .change("attn_output.weight", Change::Transpose)
            .change("ffn_up.weight", Change::Transpose)
            .change("ffn_down.weight", Change::Transpose)
            .only("scale_attn_by_inverse_layer_idx", &[false])
            .inert("reorder_and_upcast_attn");
        vec![gpt2]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let norm = Norm::layer(metadata, true)?;
        let mut spec = Spec::with_norm(metadata, RopePairing::Halves, norm)?;
        spec.matrices = Matrices::Fused;
        spec.biases = Biases::all(Bias::Always);
        spec.activation = Activation::GeluTanh;
        spec.without_gate();
        spec.without_rotation();
        spec.learned_positions = true;
        Ok(spec)
    }
}

/// Folders of GPT-2 and its kin.
pub(super) fn family(model_types: &[&'static str], classes: &[&'static str]) -> HuggingFace {
    HuggingFace::new(model_types, classes)
        .key("vocab_size", "vocab_size")
        .key("n_embd", "embedding_length")
        .key("n_layer", "block_count")
        .key("n_head", "attention.head_count")
        .key("n_positions", "context_length")
        .optional("n_inner", "feed_forward_length")
        .then(feed_forward_length)
        .key("layer_norm_epsilon", "attention.layer_norm_epsilon")
        .only("activation_function", &["gelu_new", "gelu_pytorch_tanh"])
        .only("scale_attn_weights", &[true])
        .only("add_cross_attention", &[false])
        .inert("n_ctx")
        .inert("summary_activation")
        .inert("summary_first_dropout")
        .inert("summary_proj_to_labels")
        .inert("summary_type")
        .inert("summary_use_proj")
        .tied(true)
        .base("transformer.")
        .tensor("transformer.wte", "token_embd")
        .tensor("transformer.wpe", "position_embd")
        .tensor("transformer.h.{}.ln_1", "blk.{}.attn_norm")
        .tensor("transformer.h.{}.attn.c_attn", "blk.{}.attn_qkv")
        .tensor("transformer.h.{}.attn.c_proj", "blk.{}.attn_output")
        .ignore("transformer.h.{}.attn.bias")
        .ignore("transformer.h.{}.attn.masked_bias")
        .tensor("transformer.h.{}.ln_2", "blk.{}.ffn_norm")
        .tensor("transformer.h.{}.mlp.c_fc", "blk.{}.ffn_up")
        .tensor("transformer.h.{}.mlp.c_proj", "blk.{}.ffn_down")
        .tensor("transformer.ln_f", "output_norm")
        .tensor("lm_head", "output")
}

/// Where the configuration does not say, it is four times the hidden size.
fn feed_forward_length(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    if translation.config.contains("n_inner") {
        return Ok(());
    }
    let hidden: usize = translation.config.get("n_embd")?;
    translation.set_from("n_embd", "feed_forward_length", hidden.saturating_mul(4))
}
