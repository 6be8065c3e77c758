//! Falcon: parallel parts with one norm, one key and value for all heads, no biases but the norms'.
//!
//! Almazrouei et al., arXiv:2311.16867. Reference: `FalconForCausalLM` of `transformers`. The two norms of the 40B and
//! 180B models are not supported: their tensors are an error.

use super::{Activation, Architecture, Matrices, Norm, Norms, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// Falcon 7B.
#[derive(Clone, Copy, Debug)]
pub struct Falcon;

impl Architecture for Falcon {
    fn names(&self) -> &[&str] {
        &["falcon"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let norm = Norm::layer(metadata, true)?;
        let mut spec = Spec::with_norm(metadata, RopePairing::Halves, norm)?;
        spec.norms = Norms::ParallelShared;
        spec.matrices = Matrices::Fused;
        spec.activation = Activation::GeluErf;
        spec.without_gate();
        Ok(spec)
    }
}
