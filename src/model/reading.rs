//! Model and tokenizer, brought to memory side by side.

use std::sync::Arc;
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
    /// What was done: `open`, reading the file's metadata; `weights`, packing or mapping them, which brings the file's pages to
    /// memory; `tokenizer`.
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
    thread::scope(|scope| {
        let reader = thread::Builder::new().spawn_scoped(scope, read);
        let (language_model, weights) = clock.time("weights", || registry.build(loader));
        let (tokenizer, phase) = match reader {
            Ok(reader) => reader
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => read(),
        };
        Ok(Reading {
            language_model: language_model?,
            tokenizer: tokenizer?,
            phases: vec![weights, phase],
        })
    })
}
