//! GLM-4 (0414): sandwich norms, half of a head rotated, gate and up as one matrix.
//!
//! GLM Team, arXiv:2406.12793. Reference: `Glm4ForCausalLM` of `transformers`.

use super::{Architecture, Bias, Matrices, Norms, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// GLM-4 and GLM-Z1 of 2025.
#[derive(Clone, Copy, Debug)]
pub struct Glm4;

impl Architecture for Glm4 {
    fn names(&self) -> &[&str] {
        &["glm4"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Interleaved)?;
        spec.norms = Norms::Sandwich;
        spec.matrices = Matrices::FusedGate;
        spec.biases.inputs = Bias::AsStored;
        Ok(spec)
    }
}
