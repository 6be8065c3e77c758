//! States that past sequences have had, for others that begin as they did.
//!
//! A recurrent state holds a whole past in one place. Unlike pages it cannot be cut: it is of use only to a sequence
//! that begins with all the tokens that made it. So states are kept whole, as they were at some positions, with the
//! tokens before and, for models that have attention too, the pages of these. What is kept is bounded in bytes, and the
//! least recently used goes first.
//!
//! A lookup compares a prompt with each of them. They are few, for they are large.

use dino_kernels::KvPage;
use hashbrown::HashMap;
use std::sync::Arc;

/// The most that are kept, however small they are.
const MOST: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Snapshots {
    kept: Vec<Snapshot>,
    bytes: usize,
    /// The most bytes of states.
    limit: usize,
    /// Counts uses.
    now: u64,
}

/// A sequence as it was at one position.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) variant: u64,
    /// All that it had seen.
    pub(super) tokens: Box<[u32]>,
    pub(super) pages: Vec<Arc<KvPage>>,
    /// Its states behind each other.
    pub(super) states: Vec<f32>,
    pub(super) used: u64,
}

impl Snapshot {
    fn bytes(&self) -> usize {
        size_of_val(&*self.states) + size_of_val(&*self.tokens)
    }
}

impl Snapshots {
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Bytes of states and tokens.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many of `tokens` the longest one has that they begin with.
    pub(super) fn known(&self, variant: u64, tokens: &[u32]) -> usize {
        let found = self.longest(variant, tokens);
        found.map_or(0, |index| self.kept[index].tokens.len())
    }

    /// The longest one that `tokens` begin with.
    pub(super) fn find(&mut self, variant: u64, tokens: &[u32]) -> Option<&Snapshot> {
        let index = self.longest(variant, tokens)?;
        self.now += 1;
        self.kept[index].used = self.now;
        self.kept.get(index)
    }

    fn longest(&self, variant: u64, tokens: &[u32]) -> Option<usize> {
        let kept = self.kept.iter().enumerate();
        let fits = |snapshot: &Snapshot| {
            snapshot.variant == variant && tokens.starts_with(&snapshot.tokens)
        };
        let fitting = kept.filter(|(_, snapshot)| fits(snapshot));
        fitting
            .max_by_key(|(_, snapshot)| snapshot.tokens.len())
            .map(|(index, _)| index)
    }

    /// Whether this very one would be kept and is not there yet.
    pub(super) fn wants(&mut self, variant: u64, tokens: &[u32], states: usize) -> bool {
        let bytes = size_of::<f32>() * states + size_of_val(tokens);
        bytes <= self.limit
            && self
                .find(variant, tokens)
                .is_none_or(|found| found.tokens.len() < tokens.len())
    }

    /// Keeps one, and gives back the pages of those that make way for it.
    pub(super) fn insert(&mut self, mut snapshot: Snapshot) -> Vec<Arc<KvPage>> {
        let mut pages = Vec::new();
        while self.kept.len() == MOST || self.bytes + snapshot.bytes() > self.limit {
            let Some(oldest) = self.evict() else {
                break;
            };
            pages.extend(oldest);
        }
        self.now += 1;
        snapshot.used = self.now;
        self.bytes += snapshot.bytes();
        self.kept.push(snapshot);
        pages
    }

    /// Drops the least recently used one and gives its pages back.
    pub(super) fn evict(&mut self) -> Option<Vec<Arc<KvPage>>> {
        let oldest = (0..self.kept.len()).min_by_key(|&index| self.kept[index].used)?;
        let dropped = self.kept.swap_remove(oldest);
        self.bytes -= dropped.bytes();
        Some(dropped.pages)
    }

    /// Pages that it holds, and those of them that nobody else holds.
    pub(super) fn pages(&self) -> (usize, usize) {
        let mut holders: HashMap<*const KvPage, (usize, usize)> = HashMap::new();
        for page in self.kept.iter().flat_map(|snapshot| &snapshot.pages) {
            let (ours, all) = holders.entry(Arc::as_ptr(page)).or_default();
            *ours += 1;
            *all = Arc::strong_count(page);
        }
        let idle = holders.values().filter(|(ours, all)| ours == all).count();
        (holders.len(), idle)
    }
}
