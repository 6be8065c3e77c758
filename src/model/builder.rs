//! How a model is to be loaded.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use dino_core::{Observe, Requantize};
use dino_kernels::{Compute, Isa, Kernels, KvType, KvTypes, ThreadPool};
use dino_models::arch::{Architecture, LoadProgress, Loader, LoaderOptions, Registry};
use dino_models::encoder::Pooling;
use dino_models::format::ModelFile;
use dino_models::packed_file::PackedCache;
use dino_models::tokenizer::Tokenizer;
use dino_models::{Config, Int8, Residency};

use super::Model;
use super::loaded::Inner;
use super::placement::{cache_room, context_length, place};
use super::power::Power;
use super::reading::{self, Clock, LoadPhase, Reading};
use super::rope_override::RopeOverride;
use super::threads::Threads;
use super::tuning::{Keep, Tuned};
use crate::{Error, Result};

/// Settings that a model is loaded with; [`Model::builder`] makes one.
///
/// ```no_run
/// use dino_llm::Model;
///
/// let model = Model::builder()
///     .threads(4)
///     .context_length(4096)
///     .on_progress(|progress| eprint!("\r{} of {} bytes", progress.done, progress.total))
///     .load("model.gguf")?;
/// # Ok::<(), dino_llm::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct ModelBuilder {
    threads: Threads,
    power: Power,
    isa: Option<Isa>,
    context_length: Option<usize>,
    /// Of keys and of values.
    kv_types: [Option<KvType>; 2],
    prompt_chunk: Option<usize>,
    registry: Registry,
    tokenizer: Option<Arc<dyn Tokenizer>>,
    memory_budget: Option<usize>,
    rope: Option<RopeOverride>,
    reproducible: bool,
    tuning: Keep,
    options: LoaderOptions,
}

impl ModelBuilder {
    /// Uses this many threads, the calling one among them: a number, or what [`Threads`] says. The default, also called 0, is
    /// one for each processor that the process may use.
    #[must_use]
    pub fn threads(self, threads: impl Into<Threads>) -> Self {
        Self {
            threads: threads.into(),
            ..self
        }
    }

    /// Says how eagerly the machine is used; the default is [`Power::High`].
    #[must_use]
    pub fn power(self, power: Power) -> Self {
        Self { power, ..self }
    }

    /// Uses this instruction set instead of the one that `DINO_ISA` names or else the best one.
    #[must_use]
    pub fn isa(self, isa: Isa) -> Self {
        Self {
            isa: Some(isa),
            ..self
        }
    }

    /// Limits prompt and answer together to this many tokens; the default is what the model was trained for, or what the
    /// memory holds if that is less.
    #[must_use]
    pub fn context_length(self, tokens: usize) -> Self {
        Self {
            context_length: Some(tokens),
            ..self
        }
    }

    /// Stretches the model's context in this way instead of as its file says: longer texts, somewhat worse answers.
    ///
    /// Models whose positions are not rotations, or that stretch them by factors of their own, refuse it.
    #[must_use]
    pub fn rope_scaling(self, rope: RopeOverride) -> Self {
        Self {
            rope: Some(rope),
            ..self
        }
    }

    /// Stores keys and values of past tokens as this type; the default, also called `None`, is 16 bits in the form that
    /// the processor multiplies fastest: bf16 where it multiplies pairs of them, else f16; f32 with [`Self::precise`].
    /// [`Model::kv_cache_types`] says which it is, and `docs/numerics.md` what each type costs.
    #[must_use]
    pub fn kv_cache_type(self, both: impl Into<Option<KvType>>) -> Self {
        let both = both.into();
        self.kv_cache_types(both, both)
    }

    /// Stores keys as one type and values as another. Keys bear less rounding than values.
    #[must_use]
    pub fn kv_cache_types(
        self,
        keys: impl Into<Option<KvType>>,
        values: impl Into<Option<KvType>>,
    ) -> Self {
        Self {
            kv_types: [keys.into(), values.into()],
            ..self
        }
    }

    /// Runs prompts in pieces of this many tokens. Cancellation is looked at between them; larger pieces are a little
    /// faster and take more memory. The default is 32 to 256 tokens, fewer for larger models.
    #[must_use]
    pub fn prompt_chunk(self, tokens: usize) -> Self {
        Self {
            prompt_chunk: Some(tokens.max(1)),
            ..self
        }
    }

    /// Adds an architecture, which goes before a built-in one of the same name.
    #[must_use]
    pub fn architecture(mut self, architecture: impl Architecture + 'static) -> Self {
        self.registry.add(Arc::new(architecture));
        self
    }

    /// Uses this tokenizer instead of the file's own.
    #[must_use]
    pub fn tokenizer(self, tokenizer: Arc<dyn Tokenizer>) -> Self {
        Self {
            tokenizer: Some(tokenizer),
            ..self
        }
    }

    /// Multiplies quantized weights by f32 activations, and stores keys and values as f32 unless a type is asked for. By
    /// default activations are rounded to 8 bits on the way, which is several times faster; `docs/numerics.md` says what
    /// it costs.
    #[must_use]
    pub fn precise(mut self, precise: bool) -> Self {
        self.options.precise = precise;
        self
    }

    /// Gives a text the same logits, to the bit, however its prompt is cut and whatever else is computed beside it.
    ///
    /// Everywhere but on processors with AMX that is so by itself. There, by default, prompts of 32 tokens and more are
    /// multiplied in bf16, which should be several times faster than what single tokens get (it was never timed);
    /// `docs/numerics.md` says how far apart the two are.
    #[must_use]
    pub fn reproducible(self, reproducible: bool) -> Self {
        Self {
            reproducible,
            ..self
        }
    }

    /// Runs linear layers on plain 8-bit integers, weights with one scale a channel and inputs with one a token or, where
    /// calibration found it, one for all: faster in prompts, less precise. The head stays as it is; without effect if
    /// [`precise`](Self::precise).
    #[must_use]
    pub fn int8(mut self, int8: Int8) -> Self {
        self.options.int8 = Some(Arc::new(int8));
        self
    }

    /// Holds the weights in another type than the file's, such as a
    /// [`BlockRequantizer`](dino_quant::BlockRequantizer)'s.
    #[must_use]
    pub fn requantize(mut self, to: impl Requantize + 'static) -> Self {
        self.options.requantize = Some(Arc::new(to));
        self
    }

    /// Keeps the weights as the kernels read them in the file `path`, so that the next load maps it and is done.
    ///
    /// Without it, every load packs the weights into memory of its own. A packed file takes about the room of the model
    /// file; processes that use the same one share its pages. It is written beside its place and moved there when it is
    /// complete; one that is damaged, or was made from another model, for another instruction set's registers or by another
    /// version, is written anew. A load never fails because of it: [`Model::packed_cache`] says what became of it.
    #[must_use]
    pub fn packed_cache(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.packed_cache = Some(path.into());
        self
    }

    /// Lets the model take this many bytes, weights and cache of past tokens together; the default is nine tenths of what
    /// the system, or the control group, has left.
    ///
    /// A model that does not fit is [streamed](Residency::Streamed) from its packed file: the layers that fit stay, the
    /// rest come and go as they are run. Its results are the same to the bit.
    #[must_use]
    pub fn memory_budget(self, bytes: usize) -> Self {
        Self {
            memory_budget: Some(bytes),
            ..self
        }
    }

    /// Says where packed weights are while the model runs, instead of leaving that to the budget. Where they are pages of
    /// a packed file and [`Self::packed_cache`] names none, it is written beside the model as `model.gguf.packed`.
    #[must_use]
    pub fn residency(mut self, residency: Residency) -> Self {
        self.options.residency = residency;
        self
    }

    /// Whether tensors are read through a map of the file, the default, or by ordinary reads, for files on disks or networks
    /// that may fail: then a failure is an error rather than the end of the process.
    #[must_use]
    pub fn mmap(mut self, mmap: bool) -> Self {
        self.options.read_tensors = !mmap;
        self
    }

    /// Keeps in this file what [`Model::warm_up`] measures of the kernels on this machine, or nowhere if there is none. By default
    /// it is a file `tuning-….json` in the cache folder ([`default_model`](crate::default_model) says which): 300 bytes for
    /// each processor, instruction set, number of threads and version. Every load reads it. It changes no result by a bit, and
    /// a file that is missing, damaged or cannot be written is no error.
    #[must_use]
    pub fn tuning_file(self, path: Option<PathBuf>) -> Self {
        Self {
            tuning: path.map_or(Keep::Nowhere, Keep::At),
            ..self
        }
    }

    /// Shows an observer what goes into the linear layers while the model runs, such as a
    /// [`Collector`](dino_quant::calibration::Collector).
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observe>) -> Self {
        self.options.observer = Some(observer);
        self
    }

    /// Calls `report` after each weight that was loaded.
    #[must_use]
    pub fn on_progress(mut self, report: impl Fn(LoadProgress) + Send + Sync + 'static) -> Self {
        self.options.on_progress = Some(Arc::new(report));
        self
    }

    /// Loads a model: a GGUF file, the first part of a split one, or a Hugging Face folder.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or holds a model that is not supported; if its vocabulary does not fit
    /// the model ([`Error::VocabularyMismatch`]); if the model attends to fewer tokens than
    /// [`Self::context_length`] ([`Error::ContextLength`]).
    pub fn load(self, path: impl AsRef<Path>) -> Result<Model> {
        let clock = Clock(Instant::now());
        let (file, open) = clock.time("open", || self.registry.open(path));
        self.build(file?, clock, vec![open])
    }

    /// Loads a model from a file that is open already, or that lies in memory.
    ///
    /// # Errors
    /// As those of [`Self::load`].
    pub fn load_file(self, file: ModelFile) -> Result<Model> {
        self.build(file, Clock(Instant::now()), Vec::new())
    }

    fn kernels(&self) -> Result<&'static Kernels> {
        let kernels = Kernels::for_isa(self.isa.map_or_else(Isa::from_env, Ok)?)?;
        Ok(if self.reproducible {
            kernels.reproducible()
        } else {
            kernels
        })
    }

    fn build(self, mut file: ModelFile, clock: Clock, mut done: Vec<LoadPhase>) -> Result<Model> {
        if let Some(rope) = &self.rope {
            rope.apply(&mut file)?;
        }
        let compute = self.compute()?;
        let tuned = Tuned::read(&self.tuning, &compute);
        let LoaderOptions {
            residency,
            packed_cache,
            ..
        } = self.options.clone();
        let placement = place(residency, self.memory_budget, packed_cache, &file);
        let usual = match self.options.precise {
            true => KvType::F32,
            false => compute.kernels.kv_type(),
        };
        let [keys, values] = self.kv_types.map(|dtype| dtype.unwrap_or(usual));
        let kv_types = KvTypes { keys, values };
        let options = LoaderOptions {
            context_length: self.context_length,
            kv_types,
            residency: placement.residency,
            packed_cache: placement.packed_cache,
            evicts: placement.evicts,
            ..self.options.clone()
        };
        let pooling = Pooling::read(&file.metadata)?.unwrap_or_default();
        let mut loader = Loader::new(&file, &compute, options);
        let tokenizer = self.tokenizer.as_ref();
        let reading = reading::read(&self.registry, &file, &mut loader, tokenizer, clock)?;
        let Reading {
            language_model,
            tokenizer,
            phases,
        } = reading;
        let packed_cache = check_packed(loader.finish_packed(), placement.residency)?;
        let config = language_model.config();
        check_vocabulary(&file, &*tokenizer, config)?;
        let limit = config.context_length;
        let context_length = self.context_length.unwrap_or_else(|| {
            let position = config.kv_layout(kv_types).bytes_per_position();
            let room = cache_room(&*language_model, self.memory_budget);
            context_length(config, position, room)
        });
        if !(1..=limit).contains(&context_length) {
            return Err(Error::ContextLength {
                file: file.path,
                asked: context_length,
                limit,
            });
        }
        done.extend(phases);
        Ok(Model::new(Inner {
            phases: done,
            end_of_generation: (0..tokenizer.vocab_size() as u32)
                .filter(|&token| tokenizer.is_end_of_generation(token))
                .collect(),
            prompt_chunk: self.prompt_chunk.unwrap_or_else(|| prompt_chunk(config)),
            kv_types,
            pooling,
            context_length,
            language_model,
            tokenizer,
            packed_cache,
            metadata: file.metadata,
            registry: self.registry,
            compute,
            tuned,
            load_time: clock.0.elapsed(),
        }))
    }

    /// The kernels and threads that were asked for.
    fn compute(&self) -> Result<Compute> {
        let kernels = self.kernels()?;
        let threads = self.power.threads(self.threads).count();
        let pool = ThreadPool::waiting(threads, self.power.waiting())?;
        Ok(Compute::of(kernels, pool))
    }
}

/// Weights that are to be pages of a file need the file.
fn check_packed(packed: PackedCache, residency: Residency) -> Result<PackedCache> {
    match (packed, residency) {
        (PackedCache::Failed(error), Residency::Mapped | Residency::Streamed { .. }) => {
            Err(Error::PackedFile(error))
        }
        (packed, _) => Ok(packed),
    }
}

/// Tokens without a logit could never be generated, and would be refused in a prompt. Logits without a token are common:
/// embedding tables are padded to round sizes.
fn check_vocabulary(file: &ModelFile, tokenizer: &dyn Tokenizer, config: &Config) -> Result<()> {
    let (tokens, logits) = (tokenizer.vocab_size(), config.vocabulary);
    if tokens > logits || tokens == 0 {
        return Err(Error::VocabularyMismatch {
            file: file.path.clone(),
            tokens,
            logits,
        });
    }
    Ok(())
}

/// As many tokens as a slow machine runs in well below a second, at 2 operations a weight and token, but enough to
/// make good use of each weight that is read. It depends on the model alone, so that a text does not depend on the
/// machine's load.
fn prompt_chunk(config: &Config) -> usize {
    const WEIGHTS_A_CHUNK: u64 = 1 << 34;
    let tokens = WEIGHTS_A_CHUNK / config.parameters.max(1) as u64;
    (tokens.clamp(32, 256) as usize).next_power_of_two()
}
