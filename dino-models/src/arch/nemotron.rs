//! Nemotron and Minitron: layer norms around one, half of a head rotated, a plain feed-forward part with squared ReLU.
//!
//! Parmar et al., arXiv:2402.16819; Muralidharan et al., arXiv:2407.14679. Reference: `NemotronForCausalLM` of
//! `transformers`. Files hold the weights of norms with the 1 added that `transformers` adds at run time.

use super::hugging_face::{Change, HuggingFace};
use super::{Activation, Architecture, Norm, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// Nemotron-3, Nemotron-4 and Minitron.
#[derive(Clone, Copy, Debug)]
pub struct Nemotron;

impl Architecture for Nemotron {
    fn names(&self) -> &[&str] {
        &["nemotron"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let nemotron = HuggingFace::decoder(&["nemotron"], &["NemotronForCausalLM"])
            .layer_norms("norm_eps")
            .activation("hidden_act", &["relu2"])
            .rotated_part(0.5)
            .only("attention_bias", &[false])
            .only("mlp_bias", &[false])
            .change("norm.weight", Change::Map(|weight| weight + 1.0));
        vec![nemotron]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let norm = Norm::layer(metadata, true)?;
        let mut spec = Spec::with_norm(metadata, RopePairing::Halves, norm)?;
        spec.activation = Activation::ReluSquared;
        spec.without_gate();
        Ok(spec)
    }
}
