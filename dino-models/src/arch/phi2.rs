//! Phi-1, Phi-1.5 and Phi-2: parallel parts with one norm, heads that rotate in part, biases everywhere.
//!
//! Gunasekar et al., arXiv:2306.11644; Li et al., arXiv:2309.05463. Reference: `PhiForCausalLM` of `transformers`.

use super::hugging_face::HuggingFace;
use super::{
    Activation, Architecture, Bias, Biases, Loader, Matrices, Norm, Norms, RopePairing, Spec,
};
use crate::format::Metadata;
use crate::transformer::Transformer;
use crate::{CausalLm, ModelError};

/// Phi-1, Phi-1.5 and Phi-2.
#[derive(Clone, Copy, Debug)]
pub struct Phi2;

impl Architecture for Phi2 {
    fn names(&self) -> &[&str] {
        &["phi2"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let phi = HuggingFace::decoder(&["phi"], &["PhiForCausalLM"])
            .rotated_part(0.5)
            .layer_norms("layer_norm_eps")
            .activation("hidden_act", &["gelu_new"])
            .only("qk_layernorm", &[false])
            .tensor("model.final_layernorm", "output_norm")
            .tensor("model.layers.{}.self_attn.dense", "blk.{}.attn_output")
            .tensor("model.layers.{}.mlp.fc1", "blk.{}.ffn_up")
            .tensor("model.layers.{}.mlp.fc2", "blk.{}.ffn_down");
        vec![phi]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let norm = Norm::layer(metadata, true)?;
        let mut spec = Spec::with_norm(metadata, RopePairing::Halves, norm)?;
        spec.norms = Norms::ParallelShared;
        spec.biases = Biases::all(Bias::Always);
        spec.biases.head = Bias::Always;
        spec.activation = Activation::GeluTanh;
        spec.without_gate();
        Ok(spec)
    }

    /// Files of old converters join the rows of queries, keys and values.
    fn build(&self, loader: &mut Loader<'_>) -> Result<Box<dyn CausalLm>, ModelError> {
        let mut spec = self.spec(loader.metadata())?;
        if loader.weights().contains("blk.0.attn_qkv.weight") {
            spec.matrices = Matrices::Fused;
        }
        Ok(Box::new(Transformer::load(spec, loader)?))
    }
}
