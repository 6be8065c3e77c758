//! Arcee: a llama without gates, with squared ReLU.
//!
//! Arcee AI, "AFM-4.5B", 2025; the activation: So et al., arXiv:2109.08668. Reference: `ArceeForCausalLM` of
//! `transformers`. Files permute the rows of q and k as those of llama do.

use super::{Activation, Architecture, Bias, Biases, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// AFM.
#[derive(Clone, Copy, Debug)]
pub struct Arcee;

impl Architecture for Arcee {
    fn names(&self) -> &[&str] {
        &["arcee"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Interleaved)?;
        spec.biases = Biases::all(Bias::AsStored);
        spec.activation = Activation::ReluSquared;
        spec.without_gate();
        Ok(spec)
    }
}
