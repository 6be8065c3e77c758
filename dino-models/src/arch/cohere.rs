//! Command R and Command R7B: parallel parts with one norm, which has no bias, and scaled logits.
//!
//! Cohere, "Command R", 2024; Cohere Team, arXiv:2504.00698. References: `CohereForCausalLM` and `Cohere2ForCausalLM`
//! of `transformers`.

use super::{Architecture, Norm, Norms, QkNorm, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// Command R and R+, Aya: normalised heads in the large ones.
#[derive(Clone, Copy, Debug)]
pub struct CommandR;

/// Command R7B and Command A: a window in three of four layers, and rotation in those alone.
#[derive(Clone, Copy, Debug)]
pub struct Cohere2;

impl Architecture for CommandR {
    fn names(&self) -> &[&str] {
        &["command-r"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = cohere(metadata)?;
        spec.qk_norm = QkNorm::EachHead;
        Ok(spec)
    }
}

impl Architecture for Cohere2 {
    fn names(&self) -> &[&str] {
        &["cohere2"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = cohere(metadata)?;
        spec.read_window(metadata, Some(4))?;
        for layer in &mut spec.layers {
            layer.rotates = layer.window.is_some();
        }
        Ok(spec)
    }
}

/// What both share.
fn cohere(metadata: &Metadata) -> Result<Spec, ModelError> {
    let norm = Norm::layer(metadata, false)?;
    let mut spec = Spec::with_norm(metadata, RopePairing::Interleaved, norm)?;
    spec.norms = Norms::ParallelShared;
    spec.logit_scale = Spec::positive(metadata, "logit_scale")?;
    Ok(spec)
}
