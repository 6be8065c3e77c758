//! What one step of a model is asked to do.

use crate::Adapter;
use crate::cache::SequenceId;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Which rows of a span want logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None: the span only fills the cache.
    Nothing,
    /// The last token's, to go on from it.
    Last,
    /// Every token's, to score a text.
    All,
}

/// A run of tokens that continues one sequence.
#[derive(Clone, Debug)]
pub struct Span {
    /// The sequence of the cache that it continues.
    pub sequence: SequenceId,
    /// Its rows in the batch.
    pub rows: Range<usize>,
    /// What is added to the model's linear layers for these rows.
    pub adapter: Option<Arc<Adapter>>,
}

/// Rows of a batch that run with one adapter.
#[derive(Clone, Debug)]
pub struct AdaptedRows {
    /// What is added to the model's linear layers.
    pub adapter: Arc<Adapter>,
    /// The rows, ascending; runs that touch are one.
    pub rows: Vec<Range<usize>>,
}

/// Tokens of one or many sequences that go through a model together.
///
/// ```
/// use dino_models::{Batch, Cache, Wanted};
/// # let layout = dino_kernels::KvLayout { layers: 1, kv_heads: 1, head_dim: 16, types: Default::default() };
/// let mut cache = Cache::new(layout, None);
/// let (one, two) = (cache.add(), cache.add());
/// let mut batch = Batch::default();
/// batch.push(one, &[5, 6, 7], Wanted::Last);
/// batch.push(two, &[8], Wanted::Last);
/// assert_eq!(batch.tokens().len(), 4);
/// assert_eq!(batch.wanted(), [2, 3]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Batch {
    tokens: Vec<u32>,
    spans: Vec<Span>,
    adapted: Vec<AdaptedRows>,
    wanted: Vec<usize>,
    cancel: Option<Arc<AtomicBool>>,
}

impl Batch {
    /// Adds tokens that continue `sequence`. A sequence may appear once in a batch.
    ///
    /// # Panics
    /// If the sequence is already there.
    pub fn push(&mut self, sequence: SequenceId, tokens: &[u32], wanted: Wanted) {
        self.push_adapted(sequence, tokens, wanted, None);
    }

    /// Adds tokens that continue `sequence` with an adapter: the one that all its tokens before went through.
    ///
    /// # Panics
    /// If the sequence is already there.
    pub fn push_adapted(
        &mut self,
        sequence: SequenceId,
        tokens: &[u32],
        wanted: Wanted,
        adapter: Option<&Arc<Adapter>>,
    ) {
        assert!(
            self.spans.iter().all(|span| span.sequence != sequence),
            "one span a sequence"
        );
        if tokens.is_empty() {
            return;
        }
        let rows = self.tokens.len()..self.tokens.len() + tokens.len();
        self.tokens.extend_from_slice(tokens);
        match wanted {
            Wanted::Nothing => {}
            Wanted::Last => self.wanted.push(rows.end - 1),
            Wanted::All => self.wanted.extend(rows.clone()),
        }
        if let Some(adapter) = adapter {
            self.adapt(adapter, rows.clone());
        }
        let adapter = adapter.cloned();
        self.spans.push(Span {
            sequence,
            rows,
            adapter,
        });
    }

    fn adapt(&mut self, adapter: &Arc<Adapter>, rows: Range<usize>) {
        let mut known = self.adapted.iter_mut();
        match known.find(|known| known.adapter.id() == adapter.id()) {
            Some(known) => match known.rows.last_mut() {
                Some(last) if last.end == rows.start => last.end = rows.end,
                _ => known.rows.push(rows),
            },
            None => self.adapted.push(AdaptedRows {
                adapter: Arc::clone(adapter),
                rows: vec![rows],
            }),
        }
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.adapted.clear();
        self.spans.clear();
        self.wanted.clear();
        self.cancel = None;
    }

    /// Lets whoever sets `flag` end the pass between two layers, with [`ModelError::Cancelled`](crate::ModelError::Cancelled).
    /// A long prompt of a large model takes seconds, a layer of it a fraction. Models with recurrent states run to the end:
    /// a state cannot go back.
    pub fn cancel_by(&mut self, flag: &Arc<AtomicBool>) {
        self.cancel = Some(Arc::clone(flag));
    }

    /// Whether somebody has ended the pass.
    pub fn is_cancelled(&self) -> bool {
        let cancel = self.cancel.as_ref();
        cancel.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// The tokens of all spans.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The spans, in the order of their rows.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The rows with adapters, once for each adapter.
    pub fn adapted(&self) -> &[AdaptedRows] {
        &self.adapted
    }

    /// The rows that want logits, ascending.
    pub fn wanted(&self) -> &[usize] {
        &self.wanted
    }
}
