//! Gemma 1 to 3: GeGLU and scaled embeddings; from 2 on sandwich norms and windows in most layers.
//!
//! Gemma Team, arXiv:2403.08295, arXiv:2408.00118 and arXiv:2503.19786. References: `GemmaForCausalLM`,
//! `Gemma2ForCausalLM` and `Gemma3ForCausalLM` of `transformers`. Files hold the weights of norms with the 1 added that `transformers` adds at run time.

use super::{
    Activation, Architecture, Change, HuggingFace, Norms, QkNorm, RopePairing, RopeScaling, Spec,
    Translation, Windows,
};
use crate::ModelError;
use crate::format::Metadata;

const LAYERS_OF_GEMMA2_27B: usize = 46;
const LAYERS_OF_GEMMA3_27B: usize = 62;

/// Gemma and CodeGemma.
#[derive(Clone, Copy, Debug)]
pub struct Gemma;

/// Gemma 2: soft-capped scores and logits, a window in every other layer.
#[derive(Clone, Copy, Debug)]
pub struct Gemma2;

/// Gemma 3, its text part: normalised heads, a window and a rotary base of their own in five of six layers.
#[derive(Clone, Copy, Debug)]
pub struct Gemma3;

impl Architecture for Gemma {
    fn names(&self) -> &[&str] {
        &["gemma"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let gemma = family(&["gemma"], &["GemmaForCausalLM"])
            .only("hidden_act", &["gelu_pytorch_tanh"])
            .tensor(
                "model.layers.{}.post_attention_layernorm",
                "blk.{}.ffn_norm",
            );
        vec![gemma]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = gemma(metadata)?;
        spec.norms = Norms::Pre;
        Ok(spec)
    }
}

impl Architecture for Gemma2 {
    fn names(&self) -> &[&str] {
        &["gemma2"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let gemma2 = family(&["gemma2"], &["Gemma2ForCausalLM"])
            .key("attn_logit_softcapping", "attn_logit_softcapping")
            .key("final_logit_softcapping", "final_logit_softcapping")
            .windows(Windows::AllButEvery(2))
            .then(|translation| check_scale(translation, LAYERS_OF_GEMMA2_27B));
        vec![gemma2]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = gemma(metadata)?;
        scale_scores_of_largest(&mut spec, LAYERS_OF_GEMMA2_27B);
        spec.attention_softcap = Spec::positive(metadata, "attn_logit_softcapping")?;
        spec.logit_softcap = Spec::positive(metadata, "final_logit_softcapping")?;
        spec.read_window(metadata, Some(2))?;
        Ok(spec)
    }
}

impl Architecture for Gemma3 {
    fn names(&self) -> &[&str] {
        &["gemma3"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let gemma3 = |types: &[&'static str], classes: &[&'static str]| {
            family(types, classes)
                .windows(Windows::AllButEvery(6))
                .rope_theta(1_000_000.0)
                .tensor("model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm")
                .tensor("model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm")
                .then(|translation| check_scale(translation, LAYERS_OF_GEMMA3_27B))
        };
        let text = gemma3(&["gemma3_text"], &["Gemma3ForCausalLM"]);
        let classes = &["Gemma3ForConditionalGeneration"];
        vec![text, text_part(gemma3(&["gemma3"], classes))]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = gemma(metadata)?;
        scale_scores_of_largest(&mut spec, LAYERS_OF_GEMMA3_27B);
        spec.qk_norm = QkNorm::Heads;
        spec.logit_softcap = Spec::positive(metadata, "final_logit_softcapping")?;
        spec.read_window(metadata, Some(6))?;
        let base = Spec::positive(metadata, "rope.freq_base_swa")?;
        let mut local = spec.rope;
        (local.base, local.scaling) = (base.unwrap_or(10_000.0), RopeScaling::None);
        spec.window_rope = Some(local);
        Ok(spec)
    }
}

/// Folders of all.
fn family(model_types: &[&'static str], classes: &[&'static str]) -> HuggingFace {
    HuggingFace::decoder(model_types, classes)
        .only("hidden_activation", &["gelu_pytorch_tanh"])
        // Both keys name the activation in some folders; the one above counts.
        .inert("hidden_act")
        .only("use_bidirectional_attention", &[false])
        .optional("final_logit_softcapping", "final_logit_softcapping")
        .tied(true)
        .biases(
            "attention_bias",
            false,
            &["attn_q", "attn_k", "attn_v", "attn_output"],
        )
        .tensor(
            "model.layers.{}.pre_feedforward_layernorm",
            "blk.{}.ffn_norm",
        )
        .tensor(
            "model.layers.{}.post_attention_layernorm",
            "blk.{}.post_attention_norm",
        )
        .tensor(
            "model.layers.{}.post_feedforward_layernorm",
            "blk.{}.post_ffw_norm",
        )
        .change("norm.weight", Change::Map(|weight| weight + 1.0))
}

/// The text part of a Gemma 3 that also sees. Published folders leave out much of what it is.
fn text_part(model: HuggingFace) -> HuggingFace {
    const OTHERS: [&str; 7] = [
        "vision_config",
        "boi_token_index",
        "eoi_token_index",
        "image_token_index",
        "image_token_id",
        "mm_tokens_per_image",
        "vision_use_head",
    ];
    let model = model
        .nested("text_config")
        .default("vocab_size", 262_208_u64)
        .default("num_attention_heads", 8_u64)
        .default("num_key_value_heads", 4_u64)
        .default("head_dim", 256_u64)
        .default("rms_norm_eps", 1e-6)
        .default("query_pre_attn_scalar", 256_u64)
        .default("max_position_embeddings", 131_072_u64)
        .default("rope_local_base_freq", 10_000.0)
        .beside_vision();
    OTHERS.into_iter().fold(model, HuggingFace::inert)
}

/// Scores are scaled as [`gemma`] does it, and a folder that says otherwise is none of these models.
fn check_scale(translation: &mut Translation<'_>, layers_of_27b: usize) -> Result<(), ModelError> {
    const KEY: &str = "query_pre_attn_scalar";
    let config = translation.config;
    let scalar: f64 = config.get(KEY)?;
    let layers: usize = config.get("num_hidden_layers")?;
    let [hidden, heads] = [
        config.get("hidden_size")?,
        config.get::<f64>("num_attention_heads")?,
    ];
    let expected = match layers == layers_of_27b {
        true => hidden / heads,
        false => config.get("head_dim")?,
    };
    if scalar == expected {
        return Ok(());
    }
    Err(translation.unsupported(KEY, &scalar.to_string()))
}

/// What all share.
fn gemma(metadata: &Metadata) -> Result<Spec, ModelError> {
    let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
    spec.norms = Norms::Sandwich;
    spec.activation = Activation::GeluTanh;
    spec.embedding_scale = Some((spec.hidden as f32).sqrt());
    Ok(spec)
}

/// The largest model of each, known by its layers, scales scores by features per head of the hidden size; no key says
/// so.
fn scale_scores_of_largest(spec: &mut Spec, layers_of_27b: usize) {
    if spec.layers.len() == layers_of_27b {
        spec.attention_scale = (spec.hidden as f32 / spec.heads as f32).sqrt().recip();
    }
}
