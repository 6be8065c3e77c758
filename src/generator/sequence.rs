//! Tokens that a model has seen, and what it remembers of them.

use std::path::Path;
use std::sync::Arc;

use dino_models::{Adapter, Batch, Cache, ModelError, Scratch, SequenceId, Wanted};

use crate::{CancelToken, Error, Model, Result};

/// The one sequence of a generator, and the buffers to run it in.
pub(super) struct Sequence {
    cache: Cache,
    id: SequenceId,
    /// What the cache holds, token by token.
    tokens: Vec<u32>,
    /// What they went through.
    adapter: Option<Arc<Adapter>>,
    batch: Batch,
    scratch: Scratch,
}

impl Sequence {
    pub(super) fn new(model: &Model) -> Self {
        let mut cache = model.new_cache();
        Self {
            id: cache.add(),
            cache,
            tokens: Vec::new(),
            adapter: None,
            batch: Batch::default(),
            scratch: Scratch::new(),
        }
    }

    /// Writes what it has and a note to a file.
    pub(super) fn save(&self, model: &Model, note: &[u8], path: &Path) -> Result<()> {
        if let Some(adapter) = &self.adapter {
            // The file could not say which adapter it needs.
            return Err(ModelError::Adapter {
                file: adapter.file().to_owned(),
                message: "a session that ran with an adapter cannot be saved".into(),
            }
            .into());
        }
        let place = (model.fingerprint(), path);
        Ok(self.cache.save(self.id, &self.tokens, note, place)?)
    }

    /// The sequence that a file holds, and the note beside it.
    pub(super) fn restore(model: &Model, path: &Path) -> Result<(Self, Vec<u8>)> {
        let mut cache = model.new_cache();
        let saved = cache.restore(model.fingerprint(), path)?;
        check_context(model, saved.tokens.len())?;
        let sequence = Self {
            id: saved.sequence,
            cache,
            tokens: saved.tokens,
            adapter: None,
            batch: Batch::default(),
            scratch: Scratch::new(),
        };
        Ok((sequence, saved.note))
    }

    /// Number of tokens that the model has seen.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Forgets all but the tokens that `tokens` begins with too, and of these all but `most`; says how many stay.
    pub(super) fn keep_prefix(&mut self, tokens: &[u32], most: usize) -> Result<usize> {
        let pairs = self.tokens.iter().zip(tokens).take(most);
        let kept = pairs.take_while(|(seen, wanted)| seen == wanted).count();
        // A model with a recurrent state cannot go back part of the way.
        let kept = self.cache.truncate(self.id, kept)?;
        self.tokens.truncate(kept);
        Ok(kept)
    }

    /// Runs what follows with `adapter`. What went through another one is forgotten.
    pub(super) fn adapt(&mut self, adapter: Option<&Arc<Adapter>>) -> Result<()> {
        let id = |adapter: Option<&Arc<Adapter>>| adapter.map(|adapter| adapter.id());
        if id(adapter) != id(self.adapter.as_ref()) {
            self.keep_prefix(&[], 0)?;
            self.adapter = adapter.cloned();
        }
        Ok(())
    }

    /// Runs `tokens` behind those seen before. If it fails, they were not seen.
    pub(super) fn push(&mut self, model: &Model, tokens: &[u32], wanted: Wanted) -> Result<()> {
        self.run(model, tokens, wanted, None)
    }

    /// As [`Self::push`], until `cancel` is called; false if that was before the end.
    pub(super) fn push_until(
        &mut self,
        model: &Model,
        tokens: &[u32],
        wanted: Wanted,
        cancel: &CancelToken,
    ) -> Result<bool> {
        match self.run(model, tokens, wanted, Some(cancel)) {
            Err(Error::Model(ModelError::Cancelled)) => Ok(false),
            other => other.map(|()| true),
        }
    }

    fn run(
        &mut self,
        model: &Model,
        tokens: &[u32],
        wanted: Wanted,
        cancel: Option<&CancelToken>,
    ) -> Result<()> {
        self.batch.clear();
        if let Some(cancel) = cancel {
            self.batch.cancel_by(cancel.flag());
        }
        let adapter = self.adapter.as_ref();
        self.batch.push_adapted(self.id, tokens, wanted, adapter);
        let (cache, scratch) = (&mut self.cache, &mut self.scratch);
        model
            .language_model()
            .forward(model.compute(), &self.batch, cache, scratch)?;
        self.tokens.extend_from_slice(tokens);
        Ok(())
    }

    /// The logits of one row that the last [`Self::push`] wanted, `[vocabulary]`.
    pub(super) fn logits_mut(&mut self, row: usize) -> &mut [f32] {
        self.scratch.logits_mut(row)
    }
}

/// Refuses more tokens than the model attends to.
pub(super) fn check_context(model: &Model, needed: usize) -> Result<()> {
    let limit = model.context_length();
    if needed > limit {
        return Err(ModelError::ContextOverflow { needed, limit }.into());
    }
    Ok(())
}
