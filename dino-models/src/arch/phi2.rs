//! Phi-1, Phi-1.5 and Phi-2: parallel parts with one norm, heads that rotate in part, biases everywhere.
//!
//! Gunasekar et al., arXiv:2306.11644; Li et al., arXiv:2309.05463. Reference: `PhiForCausalLM` of `transformers`.

use super::{Activation, Architecture, Bias, Biases, Norm, Norms, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// Phi-1, Phi-1.5 and Phi-2.
#[derive(Clone, Copy, Debug)]
pub struct Phi2;

impl Architecture for Phi2 {
    fn names(&self) -> &[&str] {
        &["phi2"]
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
}
