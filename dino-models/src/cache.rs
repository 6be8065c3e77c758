//! What a model remembers of many sequences: keys and values in shared pages, and states of fixed size.

use crate::ModelError;
use dino_kernels::{KvLayout, KvPage, PAGE};
use ndarray::ArrayViewMut2;
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
/// the whole past and cannot go back in it: see [`Cache::truncate`].
#[derive(Debug)]
pub struct Cache {
    layout: KvLayout,
    sequences: Vec<Option<Sequence>>,
    free: Vec<Arc<KvPage>>,
    /// Pages that sequences hold, each counted once however many share it.
    held: usize,
    limit: Option<usize>,
    states: Vec<State>,
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

impl Cache {
    /// An empty cache of at most `limit` pages, without states. [`Config::new_cache`](crate::Config::new_cache) makes
    /// the one that a model needs.
    pub fn new(layout: KvLayout, limit: Option<usize>) -> Self {
        Self {
            layout,
            sequences: Vec::new(),
            free: Vec::new(),
            held: 0,
            limit,
            states: Vec::new(),
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

    /// The shape of its pages.
    pub fn layout(&self) -> KvLayout {
        self.layout
    }

    /// Bytes of the pages that sequences hold or that wait for reuse, and of the states.
    pub fn byte_size(&self) -> usize {
        let states: usize = self.states.iter().map(|state| state.values.len()).sum();
        (self.held + self.free.len()) * self.layout.page_bytes() + size_of::<f32>() * states
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
    /// [`ModelError::CacheFull`], which changes nothing; [`ModelError::UnknownSequence`].
    pub fn reserve(&mut self, id: SequenceId, tokens: usize) -> Result<(), ModelError> {
        let sequence = self.sequence(id)?;
        let missing = (sequence.len + tokens)
            .div_ceil(PAGE)
            .saturating_sub(sequence.pages.len());
        // Pages that others hold too are copied before they are written.
        let written = sequence.pages.iter().skip(sequence.len / PAGE);
        let shared = written.filter(|page| Arc::strong_count(page) > 1).count();
        let needed = missing + shared;
        let available = self.available();
        if needed > available {
            return Err(ModelError::CacheFull { needed, available });
        }
        self.held += needed;
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
            .extend(std::iter::repeat_with(new).take(missing));
        Ok(())
    }

    /// Pages that may still be taken.
    pub fn available(&self) -> usize {
        self.limit
            .map_or(usize::MAX, |limit| limit.saturating_sub(self.held))
    }

    /// Pages in use, each counted once however many sequences share it.
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

#[cfg(test)]
mod tests {
    use super::*;
    use dino_kernels::KvType;
    use ndarray::array;

    fn cache(limit: Option<usize>) -> Cache {
        let layout = KvLayout {
            layers: 1,
            kv_heads: 1,
            head_dim: 16,
            types: KvType::F16.into(),
        };
        Cache::new(layout, limit)
    }

    fn fill_state(cache: &mut Cache, id: SequenceId, value: f32) {
        cache.states_mut(1).row_mut(id.row()).fill(value);
    }

    fn grow(cache: &mut Cache, id: SequenceId, tokens: usize) {
        cache.reserve(id, tokens).unwrap();
        cache.advance(id, tokens).unwrap();
    }

    #[test]
    fn a_fork_shares_until_it_writes() {
        let mut cache = cache(None);
        let first = cache.add();
        grow(&mut cache, first, PAGE + 5);
        let second = cache.fork(first).unwrap();
        grow(&mut cache, second, 1);
        let (a, b) = (cache.pages(first).unwrap(), cache.pages(second).unwrap());
        assert!(Arc::ptr_eq(&a[0], &b[0]), "the full page is shared");
        assert!(
            !Arc::ptr_eq(&a[1], &b[1]),
            "the page that is written is not"
        );
    }

    #[test]
    fn a_shared_page_counts_once_and_its_copy_again() {
        let mut cache = cache(Some(3));
        let first = cache.add();
        grow(&mut cache, first, PAGE + 5);
        let second = cache.fork(first).unwrap();
        assert_eq!((cache.held(), cache.available()), (2, 1));
        grow(&mut cache, second, 1);
        assert_eq!((cache.held(), cache.available()), (3, 0));
        let third = cache.fork(first).unwrap();
        let error = cache.reserve(third, 1).unwrap_err();
        assert!(matches!(error, ModelError::CacheFull { needed: 1, .. }));
        for id in [first, third] {
            cache.remove(id);
        }
        assert_eq!(cache.held(), 2);
        cache.remove(second);
        assert_eq!(cache.held(), 0);
    }

    #[test]
    fn removed_pages_are_used_again_and_a_full_cache_says_so() {
        let mut cache = cache(Some(2));
        let first = cache.add();
        grow(&mut cache, first, 2 * PAGE);
        let second = cache.add();
        let error = cache.reserve(second, 1).unwrap_err();
        assert!(matches!(
            error,
            ModelError::CacheFull {
                needed: 1,
                available: 0
            }
        ));
        cache.truncate(first, PAGE).unwrap();
        grow(&mut cache, second, 1);
        cache.remove(first);
        assert!(matches!(cache.len(first), Err(ModelError::UnknownSequence)));
        assert_eq!(cache.byte_size(), 2 * cache.layout().page_bytes());
    }

    #[test]
    fn states_are_copied_by_forks_and_forgotten_whole() {
        let mut cache = cache(None).with_states(vec![3, 2]);
        let first = cache.add();
        grow(&mut cache, first, 5);
        fill_state(&mut cache, first, 1.0);
        let second = cache.fork(first).unwrap();
        fill_state(&mut cache, second, 2.0);
        let new = cache.add();
        assert_eq!(
            cache.states_mut(1),
            array![[1.0, 1.0], [2.0, 2.0], [0.0, 0.0]]
        );
        assert_eq!(cache.truncate(first, 9).unwrap(), 5);
        assert_eq!(cache.truncate(first, 5).unwrap(), 5);
        assert_eq!(cache.states_mut(1).row(first.row()), array![1.0, 1.0]);
        assert_eq!(cache.truncate(first, 4).unwrap(), 0);
        assert_eq!(cache.len(first).unwrap(), 0);
        assert_eq!(
            cache.states_mut(1),
            array![[0.0, 0.0], [2.0, 2.0], [0.0, 0.0]]
        );
        // The next sequence in a removed one's place begins with nothing.
        cache.remove(second);
        let next = cache.add();
        assert_eq!(next.row(), second.row());
        assert_eq!(cache.states_mut(1).row(next.row()), array![0.0, 0.0]);
        cache.remove(next);
        cache.remove(new);
        cache.shrink();
        assert_eq!(cache.states_mut(1).dim(), (1, 2));
    }

    #[test]
    fn without_states_a_sequence_goes_back_where_it_is_told() {
        let mut cache = cache(None);
        let id = cache.add();
        grow(&mut cache, id, PAGE + 5);
        assert_eq!(cache.truncate(id, PAGE + 9).unwrap(), PAGE + 5);
        assert_eq!(cache.truncate(id, 3).unwrap(), 3);
        assert_eq!(cache.pages(id).unwrap().len(), 1);
    }
}
