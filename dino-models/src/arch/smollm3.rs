//! SmolLM3: a llama whose every fourth layer does not rotate queries and keys.
//!
//! Hugging Face, "SmolLM3", 2025; layers without positions: Yang et al., arXiv:2501.18795. Reference:
//! `SmolLM3ForCausalLM` of `transformers`. Files permute the rows of q and k as those of llama do.

use super::{Architecture, Bias, Biases, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// SmolLM3.
#[derive(Clone, Copy, Debug)]
pub struct SmolLm3;

impl Architecture for SmolLm3 {
    fn names(&self) -> &[&str] {
        &["smollm3"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Interleaved)?;
        spec.biases = Biases::all(Bias::AsStored);
        for layer in spec.layers.iter_mut().skip(3).step_by(4) {
            layer.rotates = false;
        }
        Ok(spec)
    }
}
