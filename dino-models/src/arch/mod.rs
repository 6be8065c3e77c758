//! Architectures: what a file's metadata means as a model.
//!
//! An architecture is a delta. It starts from [`Spec::decoder`], which reads what all decoders share, says what
//! differs, and gets the forward pass of [`crate::transformer`] for it. What is no such decoder overrides
//! [`Architecture::build`]. `docs/add-an-architecture.md` walks through both.

mod arcee;
mod cohere;
mod ernie4_5;
mod exaone4;
mod experts;
mod falcon;
mod gemma;
mod glm4;
mod gpt2;
mod gpt_neox;
mod gpt_oss;
mod granite;
mod granite_hybrid;
mod hugging_face;
mod lfm2;
mod llama;
mod loader;
mod mamba;
mod mistral3;
mod nemotron;
mod olmo2;
mod olmoe;
mod parts;
mod phi2;
mod phi3;
mod qwen2;
mod qwen3;
mod qwen35;
mod recurrent;
mod registry;
mod rope;
mod seed_oss;
mod smollm3;
mod spec;
mod stablelm;
mod starcoder;
mod starcoder2;

pub use arcee::Arcee;
pub use cohere::{Cohere2, CommandR};
pub use dino_kernels::Activation;
pub use ernie4_5::Ernie45;
pub use exaone4::Exaone4;
pub use experts::{Experts, GateLimit, Gating, SharedExpert, Shares};
pub use falcon::Falcon;
pub use gemma::{Gemma, Gemma2, Gemma3};
pub use glm4::Glm4;
pub use gpt_neox::GptNeoX;
pub use gpt_oss::GptOss;
pub use gpt2::Gpt2;
pub use granite::{Granite, GraniteMoe};
pub use granite_hybrid::GraniteHybrid;
pub(crate) use hugging_face::LinearRows;
pub use hugging_face::{
    Change, FolderConfig, HuggingFace, RowOrder, Translation, Windows, interleave_keys,
    interleave_queries,
};
pub use lfm2::{Lfm2, Lfm2Moe};
pub use llama::Llama;
pub use loader::{Linear, LoadProgress, Loader, LoaderOptions, Watch};
pub use mamba::{Mamba, Mamba2};
pub use mistral3::Mistral3;
pub use nemotron::Nemotron;
pub use olmo2::Olmo2;
pub use olmoe::Olmoe;
pub use parts::{
    Bias, Biases, FeedForward, Matrices, Mixer, Norm, Norms, QkNorm, QueryGrowth, Window,
    WindowLayers,
};
pub use phi2::Phi2;
pub use phi3::Phi3;
pub use qwen2::{Qwen2, Qwen2Moe};
pub use qwen3::{Qwen3, Qwen3Moe};
pub use qwen35::{Qwen3Next, Qwen35, Qwen35Moe};
pub use recurrent::{DeltaSpec, SelectiveScanSpec, StateSpaceSpec};
pub use registry::Registry;
pub use rope::{RopePairing, RopeScaling, RopeSpec};
pub use seed_oss::SeedOss;
pub use smollm3::SmolLm3;
pub use spec::{LayerSpec, Spec};
pub(crate) use spec::{check, size};
pub use stablelm::StableLm;
pub use starcoder::StarCoder;
pub use starcoder2::StarCoder2;

use crate::format::Metadata;
use crate::transformer::Transformer;
use crate::{CausalLm, ModelError};

/// A family of models, under the names that files give it.
pub trait Architecture: Send + Sync {
    /// The values of `general.architecture` that mean it.
    fn names(&self) -> &[&str];

    /// The model that `metadata` describes.
    ///
    /// # Errors
    /// If a key is missing, impossible or not supported.
    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError>;

    /// What Hugging Face folders of this architecture look like, one description for models that share one; provided
    /// for architectures that come in GGUF files alone.
    fn hugging_face(&self) -> Vec<HuggingFace> {
        Vec::new()
    }

    /// The model itself; provided for every decoder that a [`Spec`] can describe.
    ///
    /// # Errors
    /// As for [`Architecture::spec`], or if a tensor is missing or of another shape.
    fn build(&self, loader: &mut Loader<'_>) -> Result<Box<dyn CausalLm>, ModelError> {
        let spec = self.spec(loader.metadata())?;
        Ok(Box::new(Transformer::load(spec, loader)?))
    }
}
