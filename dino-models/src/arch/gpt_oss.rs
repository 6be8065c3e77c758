//! gpt-oss: experts with biases and limited gates, attention sinks, a window in every other layer.
//!
//! OpenAI, arXiv:2508.10925. Reference: `GptOssForCausalLM` of `transformers`.

use super::hugging_face::{Change, HuggingFace, Translation, Windows};
use super::{Architecture, Bias, Experts, GateLimit, RopePairing, RopeScaling, Shares, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// gpt-oss.
#[derive(Clone, Copy, Debug)]
pub struct GptOss;

/// No key of a file says it: all have these.
const LIMIT: GateLimit = GateLimit {
    most: 7.0,
    slope: 1.702,
};

impl Architecture for GptOss {
    fn names(&self) -> &[&str] {
        &["gpt-oss"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        const BIASED: &[&str] = &["attn_q", "attn_k", "attn_v", "attn_output"];
        let gpt_oss = HuggingFace::decoder(&["gpt_oss"], &["GptOssForCausalLM"])
            .experts()
            .rope_theta(150_000.0)
            .windows(Windows::AllButEvery(2))
            .biases("attention_bias", true, BIASED)
            .only("swiglu_limit", &[f64::from(LIMIT.most)])
            .only("swiglu_alpha", &[1.702])
            .only("quantization_config.quant_method", &["mxfp4"])
            .inert("quantization_config.modules_to_not_convert")
            .inert("experts_per_token")
            .inert("initial_context_length")
            .then(scaling_is_stated)
            .tensor(
                "model.layers.{}.self_attn.sinks",
                "blk.{}.attn_sinks.weight",
            )
            .tensor(
                "model.layers.{}.post_attention_layernorm",
                "blk.{}.post_attention_norm",
            )
            .tensor("model.layers.{}.mlp.router", "blk.{}.ffn_gate_inp")
            // Rows of gate and up take turns.
            .copies(
                "model.layers.{}.mlp.experts.gate_up_proj",
                &["blk.{}.ffn_gate_exps.weight", "blk.{}.ffn_up_exps.weight"],
            )
            .copies(
                "model.layers.{}.mlp.experts.gate_up_proj_bias",
                &["blk.{}.ffn_gate_exps.bias", "blk.{}.ffn_up_exps.bias"],
            )
            .tensor(
                "model.layers.{}.mlp.experts.down_proj_bias",
                "blk.{}.ffn_down_exps.bias",
            )
            .change("exps.weight", Change::Transpose)
            .change("ffn_gate_exps.weight", Change::Rows(evens))
            .change("ffn_up_exps.weight", Change::Rows(odds))
            .change("ffn_gate_exps.bias", Change::Columns(evens))
            .change("ffn_up_exps.bias", Change::Columns(odds));
        vec![gpt_oss]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
        spec.read_window(metadata, Some(2))?;
        spec.ffn_norm = "post_attention_norm";
        spec.attention_sinks = true;
        (spec.biases.inputs, spec.biases.output) = (Bias::Always, Bias::Always);
        let mut experts = Experts::read(metadata, Shares::OfChosen)?;
        (experts.biased, experts.limit) = (true, Some(LIMIT));
        spec.with_experts(experts);
        // Its yarn does not round where the stretching begins and ends; converters do not write so.
        let stated = metadata.scoped()?.value("rope.scaling.yarn_truncate");
        if let (RopeScaling::Yarn { truncate, .. }, None) = (&mut spec.rope.scaling, stated) {
            *truncate = false;
        }
        Ok(spec)
    }
}

fn evens(_: &Metadata, count: usize) -> Result<Vec<usize>, ModelError> {
    Ok((0..count).step_by(2).collect())
}

fn odds(_: &Metadata, count: usize) -> Result<Vec<usize>, ModelError> {
    Ok((1..count).step_by(2).collect())
}

/// Without a word about it `transformers` stretches the context, by numbers of its own.
fn scaling_is_stated(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    let config = translation.config;
    if config.has_object("rope_parameters") || config.has_object("rope_scaling") {
        return Ok(());
    }
    let expected = "how the context was stretched";
    Err(translation.impossible("rope_scaling", "missing", expected))
}
