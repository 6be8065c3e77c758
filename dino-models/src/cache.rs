//! Keys and values of many sequences, in shared pages.

use crate::ModelError;
use dino_kernels::{KvLayout, KvPage, PAGE};
use std::sync::Arc;

/// A sequence of a [`Cache`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(usize);

/// The paged cache of attention.
///
/// A sequence holds a table of pages of [`PAGE`] positions. Pages are counted references: a forked sequence
/// shares the past and copies a page only when it writes to it. Freed pages are used again.
#[derive(Debug)]
pub struct Cache {
    layout: KvLayout,
    sequences: Vec<Option<Sequence>>,
    free: Vec<Arc<KvPage>>,
    /// Pages that sequences hold, each counted once for every holder.
    held: usize,
    limit: Option<usize>,
}

#[derive(Debug, Default)]
struct Sequence {
    pages: Vec<Arc<KvPage>>,
    len: usize,
}

impl Cache {
    /// An empty cache of at most `limit` pages.
    pub fn new(layout: KvLayout, limit: Option<usize>) -> Self {
        Self {
            layout,
            sequences: Vec::new(),
            free: Vec::new(),
            held: 0,
            limit,
        }
    }

    /// The shape of its pages.
    pub fn layout(&self) -> KvLayout {
        self.layout
    }

    /// Bytes of the pages that sequences hold or that wait for reuse.
    pub fn byte_size(&self) -> usize {
        (self.held + self.free.len()) * self.layout.page_bytes()
    }

    /// Adds an empty sequence.
    pub fn add(&mut self) -> SequenceId {
        self.insert(Sequence::default())
    }

    /// Adds a sequence that shares the whole past of another.
    ///
    /// # Errors
    /// [`ModelError::UnknownSequence`].
    pub fn fork(&mut self, id: SequenceId) -> Result<SequenceId, ModelError> {
        let Sequence { pages, len } = self.sequence(id)?;
        let copy = Sequence {
            pages: pages.clone(),
            len: *len,
        };
        self.held += copy.pages.len();
        Ok(self.insert(copy))
    }

    fn insert(&mut self, sequence: Sequence) -> SequenceId {
        let vacant = self.sequences.iter().position(Option::is_none);
        let index = vacant.unwrap_or(self.sequences.len());
        if vacant.is_none() {
            self.sequences.push(None);
        }
        self.sequences[index] = Some(sequence);
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

    /// Forgets all positions of a sequence from `len` on. A longer `len` changes nothing.
    ///
    /// # Errors
    /// [`ModelError::UnknownSequence`].
    pub fn truncate(&mut self, id: SequenceId, len: usize) -> Result<(), ModelError> {
        let sequence = self.sequence_mut(id)?;
        sequence.len = sequence.len.min(len);
        let keep = sequence.len.div_ceil(PAGE).min(sequence.pages.len());
        let dropped = sequence.pages.split_off(keep);
        self.held -= dropped.len();
        self.free.extend(
            dropped
                .into_iter()
                .filter(|page| Arc::strong_count(page) == 1),
        );
        Ok(())
    }

    /// Gives the memory of unused pages back to the system.
    pub fn shrink(&mut self) {
        self.free = Vec::new();
    }

    /// Makes room for `tokens` more positions of a sequence, in pages that it alone holds.
    ///
    /// # Errors
    /// [`ModelError::CacheFull`], which changes nothing; [`ModelError::UnknownSequence`].
    pub fn reserve(&mut self, id: SequenceId, tokens: usize) -> Result<(), ModelError> {
        let sequence = self.sequence(id)?;
        let needed = (sequence.len + tokens)
            .div_ceil(PAGE)
            .saturating_sub(sequence.pages.len());
        let available = self
            .limit
            .map_or(usize::MAX, |limit| limit.saturating_sub(self.held));
        if needed > available {
            return Err(ModelError::CacheFull { needed, available });
        }
        let first_written = sequence.len / PAGE;
        for _ in 0..needed {
            let page = self
                .free
                .pop()
                .unwrap_or_else(|| Arc::new(KvPage::new(self.layout)));
            self.held += 1;
            self.sequence_mut(id)?.pages.push(page);
        }
        for page in self.sequence_mut(id)?.pages.iter_mut().skip(first_written) {
            Arc::make_mut(page);
        }
        Ok(())
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

    fn cache(limit: Option<usize>) -> Cache {
        let layout = KvLayout {
            layers: 1,
            kv_heads: 1,
            head_dim: 16,
            dtype: KvType::F16,
        };
        Cache::new(layout, limit)
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
}
