//! LLaMA and the models that share its shape.
//!
//! Touvron et al., arXiv:2302.13971; Llama 3: arXiv:2407.21783. Reference: `LlamaForCausalLM` of `transformers`.
//! GGUF files of this family store the rows of q and k so that rotated features lie side by side.

use super::{Architecture, Bias, Biases, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// LLaMA 1 to 3, SmolLM, TinyLlama, and Mistral files, which converters name `llama` too.
#[derive(Clone, Copy, Debug)]
pub struct Llama;

impl Architecture for Llama {
    fn names(&self) -> &[&str] {
        &["llama"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let scoped = metadata.scoped()?;
        // A file without experts may still say how many it would use.
        scoped.maybe::<usize>("expert_used_count")?;
        let experts = scoped.maybe::<usize>("expert_count")?.unwrap_or(0);
        if experts != 0 {
            return Err(ModelError::Unsupported {
                file: metadata.file().to_owned(),
                key: scoped.key("expert_count"),
                found: experts.to_string(),
            });
        }
        let mut spec = Spec::decoder(metadata, RopePairing::Interleaved)?;
        spec.read_window(metadata, None)?;
        spec.biases = Biases::all(Bias::AsStored);
        Ok(spec)
    }
}
