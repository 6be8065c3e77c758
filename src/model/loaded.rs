//! A loaded model.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dino_kernels::{Compute, Isa, KvTypes};
use dino_models::format::Metadata;
use dino_models::packed_file::PackedCache;
use dino_models::tokenizer::Tokenizer;
use dino_models::{Adapter, AdapterBase, Cache, CausalLm, Config, ExpertStats, Registry};

use super::tuning::Tuned;
use super::{LoadPhase, ModelBuilder};
use crate::{ChatTemplate, Error, Result, SamplingParams};
use dino_models::encoder::Pooling;

/// A model in memory: weights, tokenizer, threads.
///
/// A clone is another handle of the same weights. Any number of [`Generator`](crate::Generator)s may use one model
/// from any threads.
///
/// ```no_run
/// use dino_llm::Model;
///
/// let model = Model::load("model.gguf")?;
/// println!("{} parameters, context of {}", model.config().parameters, model.context_length());
/// # Ok::<(), dino_llm::Error>(())
/// ```
#[derive(Clone)]
pub struct Model(Arc<Inner>);

pub(super) struct Inner {
    pub(super) language_model: Box<dyn CausalLm>,
    pub(super) tokenizer: Arc<dyn Tokenizer>,
    pub(super) metadata: Metadata,
    pub(super) registry: Registry,
    pub(super) compute: Compute,
    pub(super) tuned: Tuned,
    pub(super) kv_types: KvTypes,
    pub(super) pooling: Pooling,
    pub(super) context_length: usize,
    pub(super) prompt_chunk: usize,
    pub(super) end_of_generation: Vec<u32>,
    pub(super) packed_cache: PackedCache,
    pub(super) phases: Vec<LoadPhase>,
    pub(super) load_time: Duration,
}

impl Model {
    /// Loads a model file with default settings; [`Model::builder`] has the others.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or holds a model that is not supported.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder().load(path)
    }

    /// Settings to load with.
    pub fn builder() -> ModelBuilder {
        ModelBuilder::default()
    }

    pub(super) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Turns text into tokens and back.
    pub fn tokenizer(&self) -> &Arc<dyn Tokenizer> {
        &self.0.tokenizer
    }

    /// The model's sizes.
    pub fn config(&self) -> &Config {
        self.0.language_model.config()
    }

    /// What the file says of itself.
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// The file's own chat template, parsed anew.
    ///
    /// # Errors
    /// [`Error::NoChatTemplate`] if there is none; [`Error::Template`] if it is damaged.
    pub fn chat_template(&self) -> Result<ChatTemplate> {
        let source = self.metadata().maybe::<&str>("tokenizer.chat_template")?;
        let source = source.ok_or_else(|| Error::NoChatTemplate {
            file: self.metadata().file().to_owned(),
        })?;
        Ok(ChatTemplate::new(source)?)
    }

    /// What the model's makers sample with: `generation_config.json` of a folder, `general.sampling.*` of a file. What
    /// they do not say is as in [`SamplingParams::default`].
    ///
    /// # Errors
    /// If a value is of another type; [`Error::Sampling`] if one is impossible.
    pub fn generation_defaults(&self) -> Result<SamplingParams> {
        let number = |key: &str| {
            let key = format!("general.sampling.{key}");
            self.metadata().maybe::<f32>(&key)
        };
        let mut params = SamplingParams::default();
        params.temperature = number("temp")?.unwrap_or(params.temperature);
        params.top_p = number("top_p")?.unwrap_or(params.top_p);
        params.min_p = number("min_p")?.unwrap_or(params.min_p);
        params.repetition_penalty = number("penalty_repeat")?.unwrap_or(params.repetition_penalty);
        let top_k = self.metadata().maybe("general.sampling.top_k")?;
        params.top_k = top_k.unwrap_or(params.top_k);
        params.validate()?;
        Ok(params)
    }

    /// Tokens that prompt and answer may have together.
    pub fn context_length(&self) -> usize {
        self.0.context_length
    }

    /// Prompt tokens of one forward pass; see [`ModelBuilder::prompt_chunk`].
    pub fn prompt_chunk(&self) -> usize {
        self.0.prompt_chunk
    }

    /// The tokens that end a text, ascending.
    pub fn end_of_generation(&self) -> &[u32] {
        &self.0.end_of_generation
    }

    /// How keys and values of past tokens are stored; see [`ModelBuilder::kv_cache_type`].
    pub fn kv_cache_types(&self) -> KvTypes {
        self.0.kv_types
    }

    /// Threads that a forward pass uses.
    pub fn threads(&self) -> usize {
        self.0.compute.pool.threads()
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.0.compute.kernels.isa()
    }

    /// Reads a low-rank adapter (LoRA) for this model: a folder of PEFT's, or a GGUF file. What it adds is multiplied by `scale`, usually 1.
    ///
    /// The model stays as it is: each [`Request`](crate::Request) says which adapter it runs with, and an
    /// [`Engine`](crate::Engine) runs requests with different ones in one pass. [`Adapter::sum`] makes one of several.
    ///
    /// # Errors
    /// If the file cannot be read, or does not go with this model.
    pub fn adapter(&self, path: impl AsRef<Path>, scale: f32) -> Result<Arc<Adapter>> {
        let base = AdapterBase {
            metadata: self.metadata(),
            model: self.language_model(),
            registry: &self.0.registry,
            compute: self.compute(),
        };
        Ok(Arc::new(Adapter::open(path, &base, scale)?))
    }

    /// What became of the packed file; see [`ModelBuilder::packed_cache`].
    pub fn packed_cache(&self) -> &PackedCache {
        &self.0.packed_cache
    }

    /// How often the experts of a model that is [streamed](crate::Residency::Streamed) were in memory when tokens were
    /// routed to them; `None` where all of them stay, or there are none.
    pub fn expert_stats(&self) -> Option<ExpertStats> {
        self.language_model().expert_stats()
    }

    /// The kernels' tuning; see [`ModelBuilder::tuning_file`].
    pub(super) fn tuned(&self) -> &Tuned {
        &self.0.tuned
    }

    /// What makes the vector of a text, as the file says.
    pub(super) fn pooling(&self) -> Pooling {
        self.0.pooling
    }

    /// What was done while it was loaded, and when: what overlaps, and what took long.
    pub fn load_phases(&self) -> &[LoadPhase] {
        &self.0.phases
    }

    /// How long loading took.
    pub fn load_time(&self) -> Duration {
        self.0.load_time
    }
}

/// Below text: for measuring, and for programs that drive the forward pass themselves.
impl Model {
    /// The forward pass.
    pub fn language_model(&self) -> &dyn CausalLm {
        &*self.0.language_model
    }

    /// The kernels and threads that it is to be given.
    pub fn compute(&self) -> &Compute {
        &self.0.compute
    }

    /// An empty cache of the model's shape and the chosen element type.
    pub fn new_cache(&self) -> Cache {
        self.new_cache_of(None)
    }

    /// As [`Self::new_cache`], of at most this many pages.
    pub(crate) fn new_cache_of(&self, pages: Option<usize>) -> Cache {
        self.config().new_cache(self.0.kv_types, pages)
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Model")
            .field("file", &self.metadata().file())
            .field("config", self.config())
            .field("context_length", &self.context_length())
            .field("threads", &self.threads())
            .field("isa", &self.isa())
            .field("kv_cache_types", &self.kv_cache_types())
            .finish_non_exhaustive()
    }
}
