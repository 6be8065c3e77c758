//! What a model remembers of many sequences: keys and values in shared pages, and states of fixed size.

mod prefix;
mod saved;
mod snapshots;
#[cfg(test)]
mod tests;

use crate::ModelError;
use dino_kernels::{KvLayout, KvPage, PAGE};
use ndarray::ArrayViewMut2;
use prefix::PrefixTree;
pub use saved::{Saved, SavedError};
use snapshots::{Snapshot, Snapshots};
use std::sync::Arc;

/// A sequence of a [`Cache`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(usize);

impl SequenceId {
    /// The row of [`Cache::states_mut`] that is this sequence's.
    pub fn row(self) -> usize {
        self.0
    }
}

/// The memory of sequences.
///
/// A sequence holds a table of pages of [`PAGE`] positions with the keys and values of attention. Pages are counted
/// references: a forked sequence shares the past and copies a page only when it writes to it. Freed pages are used
/// again.
///
/// Recurrent and convolutional layers have states instead, of one size for any length. A fork copies them. They hold
/// the whole past and cannot go back in it: see [`Cache::truncate`]. Copies of them can be remembered as they were at some
/// positions: see [`Cache::remember`].
///
/// What a sequence leaves behind can be remembered by its tokens, for others that begin with them: see
/// [`Cache::retire`]. Such pages make way when sequences need room.
#[derive(Debug)]
pub struct Cache {
    layout: KvLayout,
    sequences: Vec<Option<Sequence>>,
    free: Vec<Arc<KvPage>>,
    /// Pages that sequences hold or that are remembered, each counted once however many share it.
    held: usize,
    remembered: PrefixTree,
    limit: Option<usize>,
    states: Vec<State>,
    snapshots: Snapshots,
}

/// One state of all sequences.
#[derive(Debug)]
struct State {
    /// Values that a sequence has of it.
    size: usize,
    /// `[sequences, size]`; zero for one that is new.
    values: Vec<f32>,
}

#[derive(Debug, Default)]
struct Sequence {
    pages: Vec<Arc<KvPage>>,
    len: usize,
}

/// Pages that a sequence has to get before it can grow.
#[derive(Clone, Copy)]
struct Need {
    new: usize,
    /// Pages that others hold too are copied before they are written.
    copies: usize,
}

impl Need {
    fn pages(self) -> usize {
        self.new + self.copies
    }
}

impl Cache {
    /// An empty cache of at most `limit` pages, without states. [`Config::new_cache`](crate::Config::new_cache) makes
    /// the one that a model needs.
    pub fn new(layout: KvLayout, limit: Option<usize>) -> Self {
        Self {
            layout,
            sequences: Vec::new(),
            free: Vec::new(),
            held: 0,
            remembered: PrefixTree::default(),
            limit,
            states: Vec::new(),
            snapshots: Snapshots::default(),
        }
    }

    /// Gives each sequence states of these sizes too.
    ///
    /// # Panics
    /// If there are sequences already.
    #[must_use]
    pub fn with_states(mut self, sizes: Vec<usize>) -> Self {
        assert!(
            self.sequences.is_empty(),
            "states come before the sequences"
        );
        let empty = |size| State {
            size,
            values: Vec::new(),
        };
        self.states = sizes.into_iter().map(empty).collect();
        self
    }

    /// Lets copies of states be remembered that take at most this many bytes; without it there are none.
    #[must_use]
    pub fn with_snapshots(mut self, bytes: usize) -> Self {
        self.snapshots.set_limit(bytes);
        self
    }

    /// The shape of its pages.
    pub fn layout(&self) -> KvLayout {
        self.layout
    }

    /// Bytes of the pages that sequences hold, that are remembered, or that wait for reuse, and of the states.
    pub fn byte_size(&self) -> usize {
        let states: usize = self.states.iter().map(|state| state.values.len()).sum();
        let pages = self.held + self.free.len();
        pages * self.layout.page_bytes() + size_of::<f32>() * states + self.snapshots.bytes()
    }

    /// Adds an empty sequence.
    pub fn add(&mut self) -> SequenceId {
        self.insert(Sequence::default())
    }

    /// Adds a sequence that shares the whole past of another; states are copied.
    ///
    /// # Errors
    /// [`ModelError::UnknownSequence`].
    pub fn fork(&mut self, id: SequenceId) -> Result<SequenceId, ModelError> {
        let Sequence { pages, len } = self.sequence(id)?;
        let copy = Sequence {
            pages: pages.clone(),
            len: *len,
        };
        let copy = self.insert(copy);
        for state in &mut self.states {
            let (from, to) = (id.0 * state.size, copy.0 * state.size);
            state.values.copy_within(from..from + state.size, to);
        }
        Ok(copy)
    }

    fn insert(&mut self, sequence: Sequence) -> SequenceId {
        let vacant = self.sequences.iter().position(Option::is_none);
        let index = vacant.unwrap_or(self.sequences.len());
        if vacant.is_none() {
            self.sequences.push(None);
        }
        self.sequences[index] = Some(sequence);
        for state in &mut self.states {
            state.values.resize(self.sequences.len() * state.size, 0.0);
        }
        SequenceId(index)
    }

    /// Removes a sequence; its pages serve others. Does nothing if it is gone already.
    pub fn remove(&mut self, id: SequenceId) {
        let _ = self.truncate(id, 0);
        if let Some(slot) = self.sequences.get_mut(id.0) {
            *slot = None;
        }
    }

    /// Removes a sequence, whose tokens these are, and remembers its pages by them. `variant` tells sequences apart whose
    /// pages differ though their tokens are the same: the id of the adapter that they ran with, 0 without one. Where
    /// there are states, they are remembered as by [`Self::remember`].
    ///
    /// # Errors
    /// [`ModelError::UnknownSequence`].
    pub fn retire(
        &mut self,
        id: SequenceId,
        variant: u64,
        tokens: &[u32],
    ) -> Result<(), ModelError> {
        self.sequence(id)?;
        if let (Some(sequence), true) = (&self.sequences[id.0], self.states.is_empty()) {
            let tokens = &tokens[..tokens.len().min(sequence.len)];
            for page in self.remembered.insert(variant, tokens, &sequence.pages) {
                self.release(page);
            }
        }
        if !self.states.is_empty() {
            self.remember(id, variant, tokens)?;
        }
        self.remove(id);
        Ok(())
    }

    /// Remembers the states of a sequence, whose tokens these are, as they are now: another one that begins with all of the
    /// tokens that it has seen can go on from there ([`Self::recall`]). Does nothing where there are no states: pages are
    /// remembered by [`Self::retire`].
    ///
    /// # Errors
    /// [`ModelError::UnknownSequence`].
    pub fn remember(
        &mut self,
        id: SequenceId,
        variant: u64,
        tokens: &[u32],
    ) -> Result<(), ModelError> {
        let len = self.sequence(id)?.len;
        let values = self.states.iter().map(|state| state.size).sum();
        let Some(tokens) = tokens.get(..len).filter(|_| len > 0 && values > 0) else {
            return Ok(());
        };
        if !self.snapshots.wants(variant, tokens, values) {
            return Ok(());
        }
        let mut states = Vec::with_capacity(values);
        for State { size, values } in &self.states {
            states.extend_from_slice(&values[id.0 * size..][..*size]);
        }
        let pages = &self.sequence(id)?.pages;
        let snapshot = Snapshot {
            variant,
            tokens: tokens.into(),
            pages: pages[..len.div_ceil(PAGE).min(pages.len())].to_vec(),
            states,
            used: 0,
        };
        for page in self.snapshots.insert(snapshot) {
            self.release(page);
        }
        Ok(())
    }

    /// A sequence that begins with a remembered state, if one fits `tokens`.
    fn recall_state(&mut self, variant: u64, tokens: &[u32]) -> Option<(SequenceId, usize)> {
        let found = self.snapshots.find(variant, tokens)?;
        let (len, pages, states) = (
            found.tokens.len(),
            found.pages.clone(),
            found.states.clone(),
        );
        let id = self.insert(Sequence { pages, len });
        let mut rest = states.as_slice();
        for State { size, values } in &mut self.states {
            let (state, others) = rest.split_at(*size);
            values[id.0 * *size..][..*size].copy_from_slice(state);
            rest = others;
        }
        Some((id, len))
    }

    /// Adds a sequence that begins with what is remembered of `tokens` for a variant, and says how many of them it has.
    pub fn recall(&mut self, variant: u64, tokens: &[u32]) -> (SequenceId, usize) {
        if let Some(recalled) = self.recall_state(variant, tokens) {
            return recalled;
        }
        let (pages, len) = self.remembered.find(variant, tokens);
        (self.insert(Sequence { pages, len }), len)
    }

    /// How many of `tokens` are remembered for a variant.
    pub fn recallable(&self, variant: u64, tokens: &[u32]) -> usize {
        let state = self.snapshots.known(variant, tokens);
        state.max(self.remembered.known(variant, tokens))
    }

    /// Pages that are remembered, also those that sequences share.
    pub fn remembered(&self) -> usize {
        self.remembered.len() + self.snapshots.pages().0
    }

    /// Forgets what is remembered; sequences keep their pages.
    pub fn forget(&mut self) {
        for page in self.remembered.clear() {
            self.release(page);
        }
        while let Some(pages) = self.snapshots.evict() {
            pages.into_iter().for_each(|page| self.release(page));
        }
    }

    /// Positions that a sequence has.
    ///
    /// # Errors
    /// [`ModelError::UnknownSequence`].
    pub fn len(&self, id: SequenceId) -> Result<usize, ModelError> {
        Ok(self.sequence(id)?.len)
    }

    /// Forgets the positions of a sequence from `len` on and returns how many it still has. A longer `len` changes
    /// nothing. A state cannot be taken back: where there are states, a shorter `len` forgets everything and gives 0,
    /// and what should have stayed has to be run again.
    ///
    /// # Errors
    /// [`ModelError::UnknownSequence`].
    pub fn truncate(&mut self, id: SequenceId, len: usize) -> Result<usize, ModelError> {
        let has_states = !self.states.is_empty();
        let sequence = self.sequence_mut(id)?;
        if len < sequence.len {
            sequence.len = if has_states { 0 } else { len };
        }
        let len = sequence.len;
        let keep = sequence.len.div_ceil(PAGE).min(sequence.pages.len());
        let dropped = sequence.pages.split_off(keep);
        for page in dropped {
            self.release(page);
        }
        if len == 0 {
            for state in &mut self.states {
                state.values[id.0 * state.size..][..state.size].fill(0.0);
            }
        }
        Ok(len)
    }

    /// Keeps a page for reuse if nobody else holds it.
    fn release(&mut self, page: Arc<KvPage>) {
        if Arc::strong_count(&page) == 1 {
            self.held -= 1;
            self.free.push(page);
        }
    }

    /// Gives the memory of unused pages, and of the states of removed sequences, back to the system.
    pub fn shrink(&mut self) {
        self.free = Vec::new();
        let used = self.sequences.iter().rposition(Option::is_some);
        self.sequences.truncate(used.map_or(0, |last| last + 1));
        for state in &mut self.states {
            state.values.truncate(self.sequences.len() * state.size);
            state.values.shrink_to_fit();
        }
    }

    /// Makes room for `tokens` more positions of a sequence, in pages that it alone holds.
    ///
    /// # Errors
    /// [`ModelError::CacheFull`], which changes no sequence; [`ModelError::UnknownSequence`].
    pub fn reserve(&mut self, id: SequenceId, tokens: usize) -> Result<(), ModelError> {
        let mut need = self.need(id, tokens)?;
        if self.make_room(need.pages()).is_err() {
            // Pages that are remembered beside their sequence have to be copied before they are written: forget them,
            // and they can be written where they are.
            self.forget();
            need = self.need(id, tokens)?;
            self.make_room(need.pages())?;
        }
        self.held += need.pages();
        let layout = self.layout;
        let (sequences, free) = (&mut self.sequences, &mut self.free);
        let sequence = sequences[id.0].as_mut().expect("it was found above");
        for page in sequence.pages.iter_mut().skip(sequence.len / PAGE) {
            if Arc::get_mut(page).is_none() {
                *page = Arc::new(KvPage::clone(page));
                // The copy takes the place of a page that waits for use.
                free.pop();
            }
        }
        let new = || free.pop().unwrap_or_else(|| Arc::new(KvPage::new(layout)));
        sequence
            .pages
            .extend(std::iter::repeat_with(new).take(need.new));
        Ok(())
    }

    fn need(&self, id: SequenceId, tokens: usize) -> Result<Need, ModelError> {
        let sequence = self.sequence(id)?;
        let pages = (sequence.len + tokens).div_ceil(PAGE);
        let written = sequence.pages.iter().skip(sequence.len / PAGE);
        Ok(Need {
            new: pages.saturating_sub(sequence.pages.len()),
            copies: written.filter(|page| Arc::strong_count(page) > 1).count(),
        })
    }

    /// Forgets as much as `needed` pages more take.
    fn make_room(&mut self, needed: usize) -> Result<(), ModelError> {
        let Some(limit) = self.limit else {
            return Ok(());
        };
        while self.held + needed > limit {
            if let Some(page) = self.remembered.evict() {
                self.release(page);
            } else if let Some(pages) = self.snapshots.evict() {
                pages.into_iter().for_each(|page| self.release(page));
            } else {
                let available = limit.saturating_sub(self.held);
                return Err(ModelError::CacheFull { needed, available });
            }
        }
        Ok(())
    }

    /// Pages that may still be taken, those that are only remembered among them.
    pub fn available(&self) -> usize {
        let Some(limit) = self.limit else {
            return usize::MAX;
        };
        let idle = self.remembered.idle() + self.snapshots.pages().1;
        limit.saturating_sub(self.held) + idle
    }

    /// Pages that sequences hold or that are remembered, each counted once however many share it.
    pub fn held(&self) -> usize {
        self.held
    }

    /// The pages of a sequence, to be read.
    ///
    /// # Errors
    /// [`ModelError::UnknownSequence`].
    pub fn pages(&self, id: SequenceId) -> Result<&[Arc<KvPage>], ModelError> {
        Ok(&self.sequence(id)?.pages)
    }

    /// The pages of a sequence, to be written after [`Cache::reserve`].
    ///
    /// # Errors
    /// [`ModelError::UnknownSequence`].
    pub fn pages_mut(&mut self, id: SequenceId) -> Result<&mut [Arc<KvPage>], ModelError> {
        Ok(&mut self.sequence_mut(id)?.pages)
    }

    /// One state of all sequences, `[rows, size]`: a sequence's is the row [`SequenceId::row`].
    ///
    /// # Panics
    /// If the cache has no such state.
    pub fn states_mut(&mut self, state: usize) -> ArrayViewMut2<'_, f32> {
        let State { size, values } = &mut self.states[state];
        ArrayViewMut2::from_shape((self.sequences.len(), *size), values)
            .expect("a row for each sequence")
    }

    /// Counts `tokens` reserved positions as written.
    ///
    /// # Errors
    /// [`ModelError::UnknownSequence`].
    ///
    /// # Panics
    /// If they were not reserved.
    pub fn advance(&mut self, id: SequenceId, tokens: usize) -> Result<(), ModelError> {
        let sequence = self.sequence_mut(id)?;
        sequence.len += tokens;
        assert!(
            sequence.len <= sequence.pages.len() * PAGE,
            "positions reserved before"
        );
        Ok(())
    }

    fn sequence(&self, id: SequenceId) -> Result<&Sequence, ModelError> {
        let slot = self.sequences.get(id.0).and_then(Option::as_ref);
        slot.ok_or(ModelError::UnknownSequence)
    }

    fn sequence_mut(&mut self, id: SequenceId) -> Result<&mut Sequence, ModelError> {
        let slot = self.sequences.get_mut(id.0).and_then(Option::as_mut);
        slot.ok_or(ModelError::UnknownSequence)
    }
}
