//! LFM2: short convolutions between gates in most layers, attention in the others; in some with experts.
//!
//! Liquid AI, arXiv:2511.23404. References: `Lfm2ForCausalLM` and `Lfm2MoeForCausalLM` of `transformers`. Layers without key/value heads are the
//! convolutional ones. Files name the norm before the head after the embedding, where `transformers` keeps it.

use super::hugging_face::{Change, HuggingFace, Translation};
use super::recurrent::{positive, squeezed};
use super::{Architecture, Experts, Mixer, QkNorm, RopePairing, Shares, Spec};
use crate::ModelError;
use crate::format::{Metadata, StringArray};

/// LFM2 with experts in all layers but the first few.
#[derive(Clone, Copy, Debug)]
pub struct Lfm2Moe;

/// LFM2, dense.
#[derive(Clone, Copy, Debug)]
pub struct Lfm2;

impl Architecture for Lfm2 {
    fn names(&self) -> &[&str] {
        &["lfm2"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        // Keys of published folders that `transformers` does not read.
        const UNUSED: [&str; 10] = [
            "block_dim",
            "block_mlp_init_scale",
            "block_norm_eps",
            "block_out_init_scale",
            "block_use_xavier_init",
            "conv_dim",
            "conv_dim_out",
            "conv_use_xavier_init",
            "num_heads",
            "theta",
        ];
        let lfm2 = family(&["lfm2"], &["Lfm2ForCausalLM"])
            .without("intermediate_size")
            .only("block_use_swiglu", &[true])
            .only("use_pos_enc", &[true])
            .then(inner_size);
        vec![UNUSED.into_iter().fold(lfm2, HuggingFace::inert)]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
        let taps = positive(metadata, "shortconv.l_cache")?;
        spec.mix_without_kv_heads(metadata, Mixer::ShortConvolution { taps })?;
        spec.qk_norm = QkNorm::Heads;
        spec.output_norm = "token_embd_norm";
        Ok(spec)
    }
}

impl Architecture for Lfm2Moe {
    fn names(&self) -> &[&str] {
        &["lfm2moe"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        const SIGMOID: u64 = 2;
        let moe = family(&["lfm2_moe"], &["Lfm2MoeForCausalLM"])
            .key("num_experts", "expert_count")
            .key("num_experts_per_tok", "expert_used_count")
            .key("moe_intermediate_size", "expert_feed_forward_length")
            .key("num_dense_layers", "leading_dense_block_count")
            .optional("norm_topk_prob", "expert_weights_norm")
            .optional("routed_scaling_factor", "expert_weights_scale")
            .only("use_expert_bias", &[true])
            .then(|translation| translation.set_from("model_type", "expert_gating_func", SIGMOID))
            .tensor("model.layers.{}.feed_forward.gate", "blk.{}.ffn_gate_inp")
            .tensor(
                "model.layers.{}.feed_forward.expert_bias",
                "blk.{}.exp_probs_b.bias",
            )
            .tensor(
                "model.layers.{}.feed_forward.experts.{}.w1",
                "blk.{}.ffn_gate_exps",
            )
            .tensor(
                "model.layers.{}.feed_forward.experts.{}.w3",
                "blk.{}.ffn_up_exps",
            )
            .tensor(
                "model.layers.{}.feed_forward.experts.{}.w2",
                "blk.{}.ffn_down_exps",
            );
        vec![moe]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Lfm2.spec(metadata)?;
        let mut experts = Experts::read(metadata, Shares::OfChosen)?;
        experts.preferred = true;
        spec.with_experts_behind(metadata, experts)?;
        Ok(spec)
    }
}

/// Folders of all.
fn family(model_types: &[&'static str], classes: &[&'static str]) -> HuggingFace {
    HuggingFace::decoder(model_types, classes)
        .without("rms_norm_eps")
        .without("num_key_value_heads")
        .key("norm_eps", "attention.layer_norm_rms_epsilon")
        .key("conv_L_cache", "shortconv.l_cache")
        .only("conv_bias", &[false])
        .rope_theta(1_000_000.0)
        .recurrent(&["conv"])
        .then(kv_heads)
        .tied(true)
        .tensor("model.embedding_norm", "token_embd_norm")
        .tensor("model.layers.{}.operator_norm", "blk.{}.attn_norm")
        .tensor("model.layers.{}.ffn_norm", "blk.{}.ffn_norm")
        .tensor("model.layers.{}.conv.in_proj", "blk.{}.shortconv.in_proj")
        .tensor("model.layers.{}.conv.conv", "blk.{}.shortconv.conv")
        .tensor("model.layers.{}.conv.out_proj", "blk.{}.shortconv.out_proj")
        .tensor(
            "model.layers.{}.self_attn.q_layernorm",
            "blk.{}.attn_q_norm",
        )
        .tensor(
            "model.layers.{}.self_attn.k_layernorm",
            "blk.{}.attn_k_norm",
        )
        .tensor("model.layers.{}.self_attn.out_proj", "blk.{}.attn_output")
        .tensor("model.layers.{}.feed_forward.w1", "blk.{}.ffn_gate")
        .tensor("model.layers.{}.feed_forward.w3", "blk.{}.ffn_up")
        .tensor("model.layers.{}.feed_forward.w2", "blk.{}.ffn_down")
        .change("shortconv.conv.weight", Change::Reshape(squeezed))
}

/// Key/value heads of each layer; none in those that are convolutions.
fn kv_heads(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    const INDICES: &str = "full_attn_idxs";
    let config = translation.config;
    let layers: usize = config.get("num_hidden_layers")?;
    let heads: u32 = config.get("num_key_value_heads")?;
    let listed = config.maybe::<Vec<usize>>(INDICES)?;
    let attends = |layer: usize| listed.as_ref().is_none_or(|listed| listed.contains(&layer));
    let (key, attends): (_, Vec<bool>) = match config.maybe::<&StringArray>("layer_types")? {
        Some(types) => (
            "layer_types",
            types.iter().map(|kind| kind != b"conv").collect(),
        ),
        None => (INDICES, (0..layers).map(attends).collect()),
    };
    let heads: Vec<u32> = attends
        .into_iter()
        .map(|attends| if attends { heads } else { 0 })
        .collect();
    translation.set_from(key, "attention.head_count_kv", heads)
}

/// Features of the feed-forward part, which configurations say before they are rounded.
fn inner_size(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    let config = translation.config;
    let mut key = "intermediate_size";
    let mut size: usize = match config.maybe(key)? {
        Some(size) => size,
        None => config.get("block_ff_dim")?,
    };
    if let Some(own) = config.maybe("block_ff_dim")? {
        (key, size) = ("block_ff_dim", own);
    }
    let multiple: usize = config.maybe("block_multiple_of")?.unwrap_or(256);
    let factor: f64 = config.maybe("block_ffn_dim_multiplier")?.unwrap_or(1.0);
    if config.maybe("block_auto_adjust_ff_dim")?.unwrap_or(true) {
        let expected = "a positive number";
        if multiple == 0 {
            return Err(translation.impossible("block_multiple_of", "0", expected));
        }
        // As Python truncates.
        size = (factor * (size.saturating_mul(2) / 3) as f64) as usize;
        size = size.div_ceil(multiple).saturating_mul(multiple);
    }
    translation.set_from(key, "feed_forward_length", size)
}
