//! EXAONE 4: norms behind the parts, normalised heads; in the large model a window in three of four layers, and rotation
//! in those alone.
//!
//! LG AI Research, arXiv:2507.11407. Reference: `Exaone4ForCausalLM` of `transformers`.

use super::{Architecture, Norms, QkNorm, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// EXAONE 4.
#[derive(Clone, Copy, Debug)]
pub struct Exaone4;

impl Architecture for Exaone4 {
    fn names(&self) -> &[&str] {
        &["exaone4"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
        spec.norms = Norms::Post;
        spec.qk_norm = QkNorm::Heads;
        spec.read_window(metadata, Some(4))?;
        if spec.layers.iter().any(|layer| layer.window.is_some()) {
            for layer in &mut spec.layers {
                layer.rotates = layer.window.is_some();
            }
        }
        Ok(spec)
    }
}
