//! GPT-2: learned positions, layer norms, biases everywhere, a plain feed-forward part.
//!
//! Radford et al., "Language Models are Unsupervised Multitask Learners", 2019. Reference: `GPT2LMHeadModel` of
//! `transformers`. The tanh formula of GELU comes from here.

use super::{Activation, Architecture, Bias, Biases, Matrices, Norm, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// GPT-2.
#[derive(Clone, Copy, Debug)]
pub struct Gpt2;

impl Architecture for Gpt2 {
    fn names(&self) -> &[&str] {
        &["gpt2"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let norm = Norm::layer(metadata, true)?;
        let mut spec = Spec::with_norm(metadata, RopePairing::Halves, norm)?;
        spec.matrices = Matrices::Fused;
        spec.biases = Biases::all(Bias::Always);
        spec.activation = Activation::GeluTanh;
        spec.without_gate();
        spec.without_rotation();
        spec.learned_positions = true;
        Ok(spec)
    }
}
