//! OLMo 2 and 3: norms behind the parts of a layer, and of whole rows of queries and keys.
//!
//! OLMo Team, arXiv:2501.00656 and arXiv:2512.13961. References: `Olmo2ForCausalLM` and `Olmo3ForCausalLM` of
//! `transformers`. Files of OLMo 3, which has a window in three of four layers, say `olmo2` too.

use super::{Architecture, Norms, QkNorm, RopePairing, RopeScaling, RopeSpec, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// OLMo 2 and 3.
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
        spec.read_window(metadata, None)?;
        // The context of layers with a window is not stretched.
        spec.window_rope = Some(RopeSpec {
            scaling: RopeScaling::None,
            ..spec.rope
        });
        Ok(spec)
    }
}
