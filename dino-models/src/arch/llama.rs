//! LLaMA and the models that share its shape.
//!
//! Touvron et al., arXiv:2302.13971; Llama 3: arXiv:2407.21783; Mixtral: arXiv:2401.04088. References:
//! `LlamaForCausalLM`, `MistralForCausalLM` and `MixtralForCausalLM` of `transformers`.
//! GGUF files of this family store the rows of q and k so that rotated features lie side by side.

use super::hugging_face::{HuggingFace, Windows};
use super::{Architecture, Bias, Biases, Experts, RopePairing, Shares, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// LLaMA 1 to 3, SmolLM, TinyLlama, Mistral and Mixtral: converters name them all `llama`.
#[derive(Clone, Copy, Debug)]
pub struct Llama;

impl Architecture for Llama {
    fn names(&self) -> &[&str] {
        &["llama"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let llama = HuggingFace::decoder(&["llama"], &["LlamaForCausalLM"])
            .biases(
                "attention_bias",
                false,
                &["attn_q", "attn_k", "attn_v", "attn_output"],
            )
            .biases("mlp_bias", false, &["ffn_gate", "ffn_up", "ffn_down"]);
        let mistral =
            HuggingFace::decoder(&["mistral"], &["MistralForCausalLM"]).windows(Windows::All);
        let mixtral = HuggingFace::decoder(&["mixtral"], &["MixtralForCausalLM"])
            .rope_theta(1_000_000.0)
            .windows(Windows::All)
            .key("num_local_experts", "expert_count")
            .key("num_experts_per_tok", "expert_used_count")
            .tensor(
                "model.layers.{}.block_sparse_moe.gate",
                "blk.{}.ffn_gate_inp",
            )
            .tensor(
                "model.layers.{}.block_sparse_moe.experts.{}.w1",
                "blk.{}.ffn_gate_exps",
            )
            .tensor(
                "model.layers.{}.block_sparse_moe.experts.{}.w3",
                "blk.{}.ffn_up_exps",
            )
            .tensor(
                "model.layers.{}.block_sparse_moe.experts.{}.w2",
                "blk.{}.ffn_down_exps",
            );
        [llama, mistral, mixtral]
            .map(HuggingFace::interleaved)
            .into()
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Interleaved)?;
        spec.read_window(metadata, None)?;
        spec.biases = Biases::all(Bias::AsStored);
        let scoped = metadata.scoped()?;
        // A file without experts may still say how many it would use.
        scoped.maybe::<usize>("expert_used_count")?;
        if scoped
            .maybe::<usize>("expert_count")?
            .is_some_and(|count| count > 0)
        {
            spec.with_experts(Experts::read(metadata, Shares::OfChosen)?);
        }
        Ok(spec)
    }
}
