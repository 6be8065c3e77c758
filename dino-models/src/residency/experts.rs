//! The experts of a streamed model: those that were used last stay.
//!
//! A token goes through a few experts of each layer, and which ones is known only when the layer before was run. So they
//! are not read ahead in turn as whole layers are, but when a token is routed to them; and whatever of them the room holds is
//! kept, the one that was used longest ago going first. Texts use some experts much more than others.

use super::size;
use dino_core::Storage;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// How often the experts of a streamed model were in memory when a pass wanted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExpertStats {
    /// Experts that were there.
    pub hits: u64,
    /// Experts that were read from the packed file.
    pub misses: u64,
    /// Bytes of experts that are in memory.
    pub held: usize,
    /// Bytes that they may take.
    pub room: usize,
}

/// The experts of all layers, and which of them are in memory.
#[derive(Debug)]
pub(super) struct ExpertCache {
    layers: Vec<Vec<Expert>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct Expert {
    weights: Vec<Storage>,
    size: usize,
}

/// Layer and expert.
type Place = (usize, usize);

#[derive(Debug, Default)]
struct State {
    stats: ExpertStats,
    /// Grows with every use.
    clock: u64,
    /// When each was last used, if it is in memory.
    used: Vec<Vec<Option<u64>>>,
    /// Those in memory, by their last use.
    order: BTreeMap<u64, Place>,
}

impl ExpertCache {
    /// The experts of each layer, of which `room` bytes stay.
    pub(super) fn new(layers: Vec<Vec<Vec<Storage>>>, room: usize) -> Self {
        let expert = |weights: Vec<Storage>| Expert {
            size: size(&weights),
            weights,
        };
        let layers = layers.into_iter();
        let layers: Vec<Vec<_>> = layers
            .map(|experts| experts.into_iter().map(expert).collect())
            .collect();
        let used = layers.iter().map(|experts| vec![None; experts.len()]);
        let state = State {
            used: used.collect(),
            stats: ExpertStats {
                room,
                ..ExpertStats::default()
            },
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            layers,
        }
    }

    /// Cuts a list of experts of a layer so that two parts in a row fit into the room: the next one can be on its way
    /// while one is computed.
    pub(super) fn parts(&self, layer: usize, experts: &[usize]) -> Vec<Range<usize>> {
        let half = self.lock().stats.room / 2;
        let (mut parts, mut start, mut held) = (Vec::new(), 0, 0_usize);
        for (index, &expert) in experts.iter().enumerate() {
            let size = self.layers[layer][expert].size;
            if held.saturating_add(size) > half && index > start {
                parts.push(start..index);
                (start, held) = (index, 0);
            }
            held += size;
        }
        parts.push(start..experts.len());
        parts
    }

    /// Makes sure that these experts of a layer are in memory or on their way, at the cost of those that were used longest
    /// ago.
    pub(super) fn want(&self, layer: usize, experts: &[usize]) {
        let mut state = self.lock();
        let missing = experts
            .iter()
            .filter(|&&expert| !state.touch((layer, expert)));
        let missing: Vec<usize> = missing.copied().collect();
        for expert in missing {
            let wanted = &self.layers[layer][expert];
            while state.stats.held.saturating_add(wanted.size) > state.stats.room {
                let Some((layer, expert)) = state.forget_oldest() else {
                    break;
                };
                let oldest = &self.layers[layer][expert];
                state.stats.held -= oldest.size;
                oldest.weights.iter().for_each(Storage::release);
            }
            state.stats.held += wanted.size;
            state.insert((layer, expert));
            wanted.weights.iter().for_each(Storage::prefetch);
        }
    }

    /// Counts since the model was loaded.
    pub(super) fn stats(&self) -> ExpertStats {
        self.lock().stats
    }

    /// What the lock holds is right after each step of `want`, whoever panicked between two of them.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether it is in memory; then it is the one that was used last.
    fn touch(&mut self, (layer, expert): Place) -> bool {
        let Some(last) = self.used[layer][expert] else {
            self.stats.misses += 1;
            return false;
        };
        self.stats.hits += 1;
        self.order.remove(&last);
        self.insert((layer, expert));
        true
    }

    fn insert(&mut self, (layer, expert): Place) {
        self.clock += 1;
        self.used[layer][expert] = Some(self.clock);
        self.order.insert(self.clock, (layer, expert));
    }

    fn forget_oldest(&mut self) -> Option<Place> {
        let (_, (layer, expert)) = self.order.pop_first()?;
        self.used[layer][expert] = None;
        Some((layer, expert))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::iter;

    /// Two layers of four experts of 100 bytes.
    fn cache(room: usize) -> ExpertCache {
        let expert = || vec![Storage::from_vec(vec![0; 50]); 2];
        let layer = || (0..4).map(|_| expert()).collect();
        ExpertCache::new(vec![layer(), layer()], room)
    }

    fn counts(cache: &ExpertCache) -> (u64, u64, usize) {
        let ExpertStats {
            hits, misses, held, ..
        } = cache.stats();
        (hits, misses, held)
    }

    #[test]
    fn those_that_were_used_last_stay() {
        let cache = cache(350);
        cache.want(0, &[0, 1]);
        assert_eq!(counts(&cache), (0, 2, 200));
        cache.want(1, &[3]);
        cache.want(0, &[0]);
        assert_eq!(counts(&cache), (1, 3, 300));
        // Expert 1 of layer 0 is the one that was used longest ago.
        cache.want(1, &[2]);
        cache.want(1, &[3]);
        cache.want(0, &[0]);
        assert_eq!(counts(&cache), (3, 4, 300));
        cache.want(0, &[1]);
        assert_eq!(counts(&cache), (3, 5, 300));
    }

    #[test]
    fn what_is_wanted_together_is_not_let_go_of_for_each_other() {
        let cache = cache(200);
        cache.want(0, &[0, 1]);
        // Expert 0 is missing from no list that it is in, though 1 is older than 2.
        cache.want(0, &[1, 2]);
        assert_eq!(counts(&cache), (1, 3, 200));
        cache.want(0, &[1, 2]);
        assert_eq!(counts(&cache), (3, 3, 200));
    }

    #[test]
    fn two_parts_fit_into_the_room() {
        for (room, parts) in [
            (800, iter::once(0..4).collect()),
            (400, vec![0..2, 2..4]),
            (399, vec![0..1, 1..2, 2..3, 3..4]),
            (10, vec![0..1, 1..2, 2..3, 3..4]),
        ] {
            assert_eq!(cache(room).parts(0, &[0, 1, 2, 3]), parts, "{room}");
        }
        let none: Vec<_> = iter::once(0..0).collect();
        assert_eq!(cache(10).parts(1, &[]), none);
    }
}
