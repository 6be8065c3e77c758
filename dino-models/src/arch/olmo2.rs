//! OLMo 2: norms behind the parts of a layer, and of whole rows of queries and keys.
//!
//! OLMo Team, arXiv:2501.00656. Reference: `Olmo2ForCausalLM` of `transformers`.

use super::{Architecture, Norms, QkNorm, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// OLMo 2.
#[derive(Clone, Copy, Debug)]
pub struct Olmo2;

impl Architecture for Olmo2 {
    fn names(&self) -> &[&str] {
        &["olmo2"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
        spec.norms = Norms::Post;
        spec.qk_norm = QkNorm::Rows;
        Ok(spec)
    }
}
