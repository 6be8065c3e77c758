//! StarCoder 2: layer norms, biases everywhere, a plain feed-forward part, a window in all layers.
//!
//! Lozhkov et al., arXiv:2402.19173. Reference: `Starcoder2ForCausalLM` of `transformers`.

use super::{Activation, Architecture, Bias, Biases, Norm, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// StarCoder 2.
#[derive(Clone, Copy, Debug)]
pub struct StarCoder2;

impl Architecture for StarCoder2 {
    fn names(&self) -> &[&str] {
        &["starcoder2"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let norm = Norm::layer(metadata, true)?;
        let mut spec = Spec::with_norm(metadata, RopePairing::Halves, norm)?;
        spec.biases = Biases::all(Bias::Always);
        spec.activation = Activation::GeluTanh;
        spec.without_gate();
        spec.read_window(metadata, None)?;
        Ok(spec)
    }
}
