//! Qwen2 and Qwen2.5: a llama with biases of queries, keys and values, in some with experts.
//!
//! Yang et al., arXiv:2407.10671. References: `Qwen2ForCausalLM` and `Qwen2MoeForCausalLM` of `transformers`.

use super::hugging_face::{Change, HuggingFace, Translation, Windows};
use super::{Architecture, Bias, Experts, RopePairing, Shares, Spec};
use crate::ModelError;
use crate::format::{Metadata, Value};

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

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let qwen2_moe = HuggingFace::decoder(&["qwen2_moe"], &["Qwen2MoeForCausalLM"])
            .windows(Windows::FromLayer)
            .only("qkv_bias", &[true])
            .experts()
            .then(no_dense_layers);
        let qwen2_moe = with_shared_expert(qwen2_moe);
        vec![qwen2_moe]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Qwen2.spec(metadata)?;
        let experts = Experts::read(metadata, Shares::OfAll)?;
        spec.with_experts(experts.with_shared(metadata, true)?);
        Ok(spec)
    }
}

/// Layers without experts among those with are not supported, as in GGUF files.
pub(super) fn no_dense_layers(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    const LIST: &str = "mlp_only_layers";
    if let Some(Value::Array(layers)) = translation.config.value(LIST)
        && !layers.is_empty()
    {
        let found = format!("a list of {}", layers.len());
        return Err(translation.unsupported(LIST, &found));
    }
    match translation.config.maybe::<u64>("decoder_sparse_step")? {
        None | Some(1) => Ok(()),
        Some(step) => Err(translation.unsupported("decoder_sparse_step", &step.to_string())),
    }
}

/// Folders of models with a shared expert that has a share of its own.
pub(super) fn with_shared_expert(model: HuggingFace) -> HuggingFace {
    model
        .key("moe_intermediate_size", "expert_feed_forward_length")
        .key(
            "shared_expert_intermediate_size",
            "expert_shared_feed_forward_length",
        )
        .tensor(
            "model.layers.{}.mlp.shared_expert_gate",
            "blk.{}.ffn_gate_inp_shexp",
        )
        .tensor(
            "model.layers.{}.mlp.shared_expert.gate_proj",
            "blk.{}.ffn_gate_shexp",
        )
        .tensor(
            "model.layers.{}.mlp.shared_expert.up_proj",
            "blk.{}.ffn_up_shexp",
        )
        .tensor(
            "model.layers.{}.mlp.shared_expert.down_proj",
            "blk.{}.ffn_down_shexp",
        )
        .change(
            "ffn_gate_inp_shexp.weight",
            // What is no matrix of one row fits no shape, and the error names the tensor.
            Change::Reshape(|_, shape| match shape {
                [1, len] => vec![*len],
                _ => Vec::new(),
            }),
        )
}
