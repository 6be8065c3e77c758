//! Seed-OSS: a llama with biases of queries, keys and values.
//!
//! ByteDance Seed, "Seed-OSS", 2025. Reference: `SeedOssForCausalLM` of `transformers`.

use super::hugging_face::HuggingFace;
use super::{Architecture, Bias, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// Seed-OSS.
#[derive(Clone, Copy, Debug)]
pub struct SeedOss;

impl Architecture for SeedOss {
    fn names(&self) -> &[&str] {
        &["seed_oss"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let seed = HuggingFace::decoder(&["seed_oss"], &["SeedOssForCausalLM"])
            .biases("attention_bias", true, &["attn_q", "attn_k", "attn_v"])
            .only("attention_out_bias", &[false])
            .only("mlp_bias", &[false])
            .tensor(
                "model.layers.{}.post_attention_layernorm",
                "blk.{}.post_attention_norm",
            );
        vec![seed]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
        spec.biases.inputs = Bias::AsStored;
        spec.ffn_norm = "post_attention_norm";
        Ok(spec)
    }
}
