//! GPT-NeoX and Pythia: parallel parts with a norm each, heads that rotate in part, biases everywhere.
//!
//! Black et al., arXiv:2204.06745; Biderman et al., arXiv:2304.01373. Reference: `GPTNeoXForCausalLM` of `transformers`.

use super::{Activation, Architecture, Bias, Biases, Matrices, Norm, Norms, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// GPT-NeoX and Pythia.
#[derive(Clone, Copy, Debug)]
pub struct GptNeoX;

impl Architecture for GptNeoX {
    fn names(&self) -> &[&str] {
        &["gptneox"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let norm = Norm::layer(metadata, true)?;
        let mut spec = Spec::with_norm(metadata, RopePairing::Halves, norm)?;
        spec.matrices = Matrices::Fused;
        spec.biases = Biases::all(Bias::Always);
        spec.activation = Activation::GeluErf;
        spec.without_gate();
        if metadata.scoped()?.maybe("use_parallel_residual")? != Some(false) {
            spec.norms = Norms::Parallel;
        }
        Ok(spec)
    }
}
