//! StarCoder and SantaCoder: a GPT-2 with one key and value for all heads.
//!
//! Li et al., arXiv:2305.06161. Reference: `GPTBigCodeForCausalLM` of `transformers`.

use super::{Architecture, Gpt2, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// StarCoder.
#[derive(Clone, Copy, Debug)]
pub struct StarCoder;

impl Architecture for StarCoder {
    fn names(&self) -> &[&str] {
        &["starcoder"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        Gpt2.spec(metadata)
    }
}
