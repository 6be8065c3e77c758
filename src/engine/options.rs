//! How much an engine takes on.

use std::path::PathBuf;

use dino_kernels::PAGE;

use crate::Model;
use crate::model::memory;

/// How much an [`Engine`](crate::Engine) takes on; the default suits a machine that serves one model.
///
/// ```
/// use dino_llm::EngineOptions;
///
/// let options = EngineOptions {
///     max_sequences: 32,
///     cache_memory: Some(2 << 30),
///     ..EngineOptions::default()
/// };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Texts that are generated together; 16 by default. Further requests wait.
    pub max_sequences: usize,
    /// Tokens of one step, of texts and prompts together. More serve prompts better, fewer keep the time between two
    /// tokens short. The default is the model's [`prompt_chunk`](crate::ModelBuilder::prompt_chunk).
    pub max_batch_tokens: Option<usize>,
    /// Requests that may wait; the next one is told [`EngineError::Busy`](crate::EngineError::Busy). 256 by default.
    pub max_queue: usize,
    /// Bytes for keys and values of past tokens. The default is what `max_sequences` contexts of full length take, but
    /// at most a quarter of the memory that is free when the engine starts. Copies of recurrent states, which only some
    /// models have, take at most as much again.
    pub cache_memory: Option<usize>,
    /// Where the system shows counters of energy; `/sys/class/powercap` by default (see
    /// [`EnergyMeter`](crate::EnergyMeter)).
    pub powercap: PathBuf,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            max_sequences: 16,
            max_batch_tokens: None,
            max_queue: 256,
            cache_memory: None,
            powercap: "/sys/class/powercap".into(),
        }
    }
}

/// What follows from the options for one model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) sequences: usize,
    pub(super) batch_tokens: usize,
    pub(super) queue: usize,
    /// Pages of the cache.
    pub(super) pages: usize,
    /// Tokens of prompt and answer together.
    pub(super) context: usize,
    /// Bytes of remembered states.
    pub(super) states: usize,
}

impl Limits {
    pub(super) fn new(model: &Model, options: &EngineOptions) -> Self {
        let sequences = options.max_sequences.max(1);
        let page = model.new_cache().layout().page_bytes().max(1);
        let context = model.context_length();
        let pages = options.cache_memory.map_or_else(
            || default_pages(sequences * context.div_ceil(PAGE), page),
            |bytes| bytes / page,
        );
        let pages = pages.max(1);
        let states = options.cache_memory.unwrap_or_else(|| free() / 4);
        Self {
            states: if model.config().can_rewind() {
                0
            } else {
                states
            },
            sequences,
            batch_tokens: options
                .max_batch_tokens
                .unwrap_or(model.prompt_chunk())
                .max(1),
            queue: options.max_queue,
            pages,
            context: context.min(pages.saturating_mul(PAGE)),
        }
    }
}

fn default_pages(most: usize, page: usize) -> usize {
    most.min(free() / 4 / page)
}

/// Bytes of memory that nobody uses.
fn free() -> usize {
    /// Where the system does not say.
    const UNKNOWN: u64 = 4 << 30;
    memory::available().unwrap_or(UNKNOWN) as usize
}
