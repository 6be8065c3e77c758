//! What a smaller model would say.

use std::time::Instant;

use dino_models::{Batch, Cache, Scratch, SequenceId, Wanted};

use crate::{Model, Result};

/// How fast the time of old guesses is forgotten.
const MEMORY: f64 = 0.9;

/// A draft model's view of one text.
pub(super) struct Draft {
    model: Model,
    cache: Cache,
    sequence: SequenceId,
    /// What the cache holds.
    seen: Vec<u32>,
    batch: Batch,
    scratch: Scratch,
    /// Mean time of a guessed token.
    seconds: f64,
}

impl Draft {
    pub(super) fn new(model: &Model) -> Self {
        let mut cache = model.new_cache();
        Self {
            model: model.clone(),
            sequence: cache.add(),
            cache,
            seen: Vec::new(),
            batch: Batch::default(),
            scratch: Scratch::new(),
            seconds: 0.0,
        }
    }

    /// Mean time of a guessed token, in seconds; 0 before the first.
    pub(super) fn seconds(&self) -> f64 {
        self.seconds
    }

    /// The model's likeliest continuation of `ids`, at most `most` tokens, and none beyond its context.
    pub(super) fn guess(&mut self, ids: &[u32], most: usize) -> Result<Vec<u32>> {
        let room = self.model.context_length().saturating_sub(ids.len());
        let most = most.min(room);
        if most == 0 {
            return Ok(Vec::new());
        }
        self.rewind(ids)?;
        let mut next = self.run(&ids[self.seen.len()..])?;
        let started = Instant::now();
        let mut guessed = vec![next];
        while guessed.len() < most {
            next = self.run(&[next])?;
            guessed.push(next);
        }
        if most > 1 {
            let each = started.elapsed().as_secs_f64() / (most - 1) as f64;
            self.seconds = if self.seconds == 0.0 {
                each
            } else {
                MEMORY * self.seconds + (1.0 - MEMORY) * each
            };
        }
        Ok(guessed)
    }

    /// Forgets what was guessed wrong; the last token is run again for its logits.
    fn rewind(&mut self, ids: &[u32]) -> Result<()> {
        let pairs = self.seen.iter().zip(&ids[..ids.len() - 1]);
        let common = pairs.take_while(|(seen, id)| seen == id).count();
        let kept = self.cache.truncate(self.sequence, common)?;
        self.seen.truncate(kept);
        Ok(())
    }

    /// Runs tokens and gives the likeliest next one.
    fn run(&mut self, tokens: &[u32]) -> Result<u32> {
        let mut pieces = tokens.chunks(self.model.prompt_chunk()).peekable();
        while let Some(piece) = pieces.next() {
            let wanted = if pieces.peek().is_none() {
                Wanted::Last
            } else {
                Wanted::Nothing
            };
            self.batch.clear();
            self.batch.push(self.sequence, piece, wanted);
            let (cache, scratch) = (&mut self.cache, &mut self.scratch);
            let model = self.model.language_model();
            model.forward(self.model.compute(), &self.batch, cache, scratch)?;
            self.seen.extend_from_slice(piece);
        }
        let logits = &self.scratch.logits_mut(0)[..self.model.tokenizer().vocab_size()];
        let likeliest = (0..).zip(logits).max_by(|a, b| a.1.total_cmp(b.1));
        Ok(likeliest.map_or(0, |(id, _)| id))
    }
}
