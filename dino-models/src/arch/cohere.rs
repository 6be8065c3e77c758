//! Command R and Command R7B: parallel parts with one norm, which has no bias, and scaled logits.
//!
//! Cohere, "Command R", 2024; Cohere Team, arXiv:2504.00698. References: `CohereForCausalLM` and `Cohere2ForCausalLM`
//! of `transformers`.

use super::hugging_face::{HuggingFace, Windows};
use super::{Architecture, Norm, Norms, QkNorm, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// Command R and R+, Aya: normalised heads in the large ones.
#[derive(Clone, Copy, Debug)]
pub struct CommandR;

/// Command R7B and Command A: a window in three of four layers, and rotation in those alone.
#[derive(Clone, Copy, Debug)]
pub struct Cohere2;

impl Architecture for CommandR {
    fn names(&self) -> &[&str] {
        &["command-r"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let cohere = family(&["cohere"], &["CohereForCausalLM"])
            .rope_theta(500_000.0)
            // Whether there are such norms is seen by their weights.
            .inert("use_qk_norm")
            .tensor("model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm")
            .tensor("model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm");
        vec![cohere]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = cohere(metadata)?;
        spec.qk_norm = QkNorm::EachHead;
        Ok(spec)
    }
}

impl Architecture for Cohere2 {
    fn names(&self) -> &[&str] {
        &["cohere2"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        // Keys of published folders that `transformers` does not read.
        const UNUSED: [&str; 8] = [
            "layer_switch",
            "order_of_interleaved_layers",
            "position_embedding_type",
            "rotary_pct",
            "use_embedding_sharing",
            "use_gated_activation",
            "use_parallel_block",
            "use_parallel_embedding",
        ];
        let cohere2 =
            family(&["cohere2"], &["Cohere2ForCausalLM"]).windows(Windows::AllButEvery(4));
        vec![UNUSED.into_iter().fold(cohere2, HuggingFace::inert)]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = cohere(metadata)?;
        spec.read_window(metadata, Some(4))?;
        for layer in &mut spec.layers {
            layer.rotates = layer.window.is_some();
        }
        Ok(spec)
    }
}

/// What both share.
fn cohere(metadata: &Metadata) -> Result<Spec, ModelError> {
    let norm = Norm::layer(metadata, false)?;
    let mut spec = Spec::with_norm(metadata, RopePairing::Interleaved, norm)?;
    spec.norms = Norms::ParallelShared;
    spec.logit_scale = Spec::positive(metadata, "logit_scale")?;
    Ok(spec)
}

/// Folders of both.
fn family(model_types: &[&'static str], classes: &[&'static str]) -> HuggingFace {
    HuggingFace::decoder(model_types, classes)
        .layer_norms("layer_norm_eps")
        .key("logit_scale", "logit_scale")
        .only("attention_bias", &[false])
        .inert("model_max_length")
        .tied(true)
}
