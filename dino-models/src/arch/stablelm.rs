//! StableLM: layer norms, heads that rotate in part, and in the largest models parallel parts with one norm.
//!
//! Bellagente et al., arXiv:2402.17834. Reference: `StableLmForCausalLM` of `transformers`.

use super::{Architecture, Bias, Norm, Norms, QkNorm, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// StableLM 2 and StableLM 3B.
#[derive(Clone, Copy, Debug)]
pub struct StableLm;

impl Architecture for StableLm {
    fn names(&self) -> &[&str] {
        &["stablelm"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let norm = Norm::layer(metadata, true)?;
        let mut spec = Spec::with_norm(metadata, RopePairing::Halves, norm)?;
        spec.biases.inputs = Bias::AsStored;
        spec.qk_norm = QkNorm::EachHead;
        if metadata.scoped()?.maybe("use_parallel_residual")? == Some(true) {
            spec.norms = Norms::ParallelShared;
        }
        Ok(spec)
    }
}
