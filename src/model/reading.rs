//! Model, tokenizer and the file's pages, brought to memory side by side.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dino_models::CausalLm;
use dino_models::arch::{Loader, Registry};
use dino_models::format::ModelFile;
use dino_models::tokenizer::{Tokenizer, VocabularyTokenizer};

use crate::Result;

/// What was done while a model was loaded, and when, counted from the beginning of the load. Phases overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadPhase {
    /// What was done: `open`, reading the file's metadata; `weights`, packing or mapping them; `tokenizer`; `pages`, asking the
    /// system to read the file ahead.
    pub name: &'static str,
    /// When it began.
    pub start: Duration,
    /// When it ended.
    pub end: Duration,
}

/// What a load brought to memory.
pub(super) struct Reading {
    pub(super) language_model: Box<dyn CausalLm>,
    pub(super) tokenizer: Arc<dyn Tokenizer>,
    pub(super) phases: Vec<LoadPhase>,
}

/// When a load began.
#[derive(Clone, Copy)]
pub(super) struct Clock(pub(super) Instant);

impl Clock {
    /// Does something, and says when that was.
    pub(super) fn time<T>(self, name: &'static str, work: impl FnOnce() -> T) -> (T, LoadPhase) {
        let start = self.0.elapsed();
        let result = work();
        let end = self.0.elapsed();
        (result, LoadPhase { name, start, end })
    }
}

/// Model and tokenizer; the file's own if none is given. Some systems have no threads, or no more: then one after the other.
pub(super) fn read(
    registry: &Registry,
    file: &ModelFile,
    loader: &mut Loader<'_>,
    tokenizer: Option<&Arc<dyn Tokenizer>>,
    clock: Clock,
) -> Result<Reading> {
    let read = || {
        clock.time("tokenizer", || match tokenizer {
            Some(tokenizer) => Ok(Arc::clone(tokenizer)),
            None => VocabularyTokenizer::from_metadata(&file.metadata)
                .map(|tokenizer| Arc::new(tokenizer) as Arc<dyn Tokenizer>),
        })
    };
    // Pages that are not in memory yet come while those before them are packed, and in larger pieces than one by one.
    let stop = AtomicBool::new(!loader.packs_from_map());
    let read_ahead = || clock.time("pages", || file.weights.prefetch(&stop)).1;
    thread::scope(|scope| {
        let reader = thread::Builder::new().spawn_scoped(scope, read);
        let ahead = thread::Builder::new().spawn_scoped(scope, read_ahead);
        let (language_model, weights) = clock.time("weights", || registry.build(loader));
        stop.store(true, Ordering::Relaxed);
        let (tokenizer, phase) = match reader {
            Ok(reader) => reader
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => read(),
        };
        let ahead = ahead.ok().and_then(|ahead| ahead.join().ok());
        Ok(Reading {
            language_model: language_model?,
            tokenizer: tokenizer?,
            phases: [weights, phase].into_iter().chain(ahead).collect(),
        })
    })
}
