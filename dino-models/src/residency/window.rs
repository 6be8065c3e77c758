//! The weights of a streamed model: which stay, and which come and go.

use super::experts::{ExpertCache, ExpertStats};
use super::{Unit, size};
use crate::ModelError;
use dino_core::Storage;
use std::iter;
use std::ops::Range;

/// The layers of a streamed model: which stay, and which come and go.
#[derive(Debug)]
pub(crate) struct Window {
    /// The weights of each layer that every token goes through.
    layers: Vec<Vec<Storage>>,
    /// Layers, the first ones, that stay.
    pinned: usize,
    /// The experts of all layers; `None` if all of them stay.
    experts: Option<ExpertCache>,
    /// Tables of which each pass reads a few rows.
    tables: Vec<Storage>,
    /// Bytes of the budget that are the cache's.
    cache: usize,
    /// Whether the system's cache is to forget layers that were let go of.
    evicts: bool,
}

/// Bytes that a streamed model may take, and what of them is not its layers'.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// All that it may take.
    pub(crate) budget: usize,
    /// Weights that stay whatever happens.
    pub(crate) fixed: usize,
    /// Keys and values: what they need at least, and what they would like.
    pub(crate) cache: [usize; 2],
}

impl Window {
    /// A window over `layers` in the room that there is.
    ///
    /// Layers are run in turn, over and over: to let go of the one that was used longest ago would always let go of the one
    /// that is wanted next. So the first ones stay and the rest pass through. What they leave of the budget is the experts'.
    ///
    /// # Errors
    /// [`ModelError::BudgetTooSmall`] if not even two layers, two experts, the fixed part and the least cache fit.
    pub(crate) fn new(layers: Vec<Unit>, room: Room) -> Result<Self, ModelError> {
        let (mut always, mut experts) = (Vec::new(), Vec::new());
        for layer in layers {
            always.push(layer.always);
            experts.push(layer.experts);
        }
        let sum = |sizes: &[usize]| sizes.iter().copied().fold(0, usize::saturating_add);
        let largest = |sizes: &[usize]| sizes.iter().max().copied().unwrap_or(0);
        let sizes: Vec<usize> = always.iter().map(|layer| size(layer)).collect();
        let expert_sizes: Vec<usize> = experts
            .iter()
            .flatten()
            .map(|expert| size(expert))
            .collect();
        let two_layers = largest(&sizes).saturating_mul(2).min(sum(&sizes));
        let two_experts = (largest(&expert_sizes).saturating_mul(2)).min(sum(&expert_sizes));
        let [least_cache, cache] = room.cache;
        let needed = [room.fixed, two_layers, two_experts, least_cache]
            .into_iter()
            .fold(0, usize::saturating_add);
        let Some(spare) = room.budget.checked_sub(needed) else {
            let budget = room.budget;
            return Err(ModelError::BudgetTooSmall { budget, needed });
        };
        let cache = cache.max(least_cache).min(least_cache + spare);
        let mut room = spare - (cache - least_cache);
        // If the last two layers to pass are all that is left, they stay too: their room is there.
        let pinned = if room >= sum(&sizes) - two_layers {
            room -= sum(&sizes) - two_layers;
            sizes.len()
        } else {
            let stays = |&&size: &&usize| {
                let fits = size <= room;
                room -= if fits { size } else { 0 };
                fits
            };
            sizes.iter().take_while(stays).count()
        };
        let room = room.saturating_add(two_experts);
        let experts = (room < sum(&expert_sizes)).then(|| ExpertCache::new(experts, room));
        Ok(Self {
            layers: always,
            pinned,
            experts,
            tables: Vec::new(),
            cache,
            evicts: false,
        })
    }

    /// With tables of which each pass reads a few rows, and which would come to memory row by row.
    pub(crate) fn with_tables(self, tables: impl Iterator<Item = Storage>) -> Self {
        Self {
            tables: tables.collect(),
            ..self
        }
    }

    /// For a system that has no room for the whole file: without it, the cache would keep what was read last, which is what is
    /// wanted last, and forget layers that are to stay.
    pub(crate) fn evicting(self, evicts: bool) -> Self {
        Self { evicts, ..self }
    }

    /// Prepares to run `layer`: lets go of the one before it and asks for the next one.
    pub(crate) fn enter(&self, layer: usize) {
        if layer == 0 {
            self.prefetch(0);
        } else {
            self.release(layer - 1);
        }
        self.prefetch(layer + 1);
    }

    /// Cuts a list of experts of `layer` into parts to be run one after the other.
    pub(crate) fn parts(&self, layer: usize, experts: &[usize]) -> Vec<Range<usize>> {
        match &self.experts {
            Some(cache) => cache.parts(layer, experts),
            None => iter::once(0..experts.len()).collect(),
        }
    }

    /// Prepares to run these experts of `layer`.
    pub(crate) fn enter_experts(&self, layer: usize, experts: &[usize]) {
        if let Some(cache) = &self.experts {
            cache.want(layer, experts);
        }
    }

    /// The pass ends before `layer`.
    pub(crate) fn interrupt(&self, layer: usize) {
        if let Some(before) = layer.checked_sub(1) {
            self.release(before);
        }
        self.release(layer);
    }

    /// The last layer was run.
    pub(crate) fn leave(&self) {
        if let Some(last) = self.layers.len().checked_sub(1) {
            self.release(last);
        }
        self.tables.iter().for_each(Storage::release);
    }

    /// How often experts were in memory; `None` if all of them stay, or there are none.
    pub(crate) fn expert_stats(&self) -> Option<ExpertStats> {
        self.experts.as_ref().map(ExpertCache::stats)
    }

    /// Bytes of the budget that are left to keys and values.
    pub(crate) fn cache_room(&self) -> usize {
        self.cache
    }

    fn prefetch(&self, layer: usize) {
        self.passing(layer).iter().for_each(Storage::prefetch);
    }

    fn release(&self, layer: usize) {
        let forget = if self.evicts {
            Storage::evict
        } else {
            Storage::release
        };
        self.passing(layer).iter().for_each(forget);
    }

    /// The bytes of a layer that does not stay.
    fn passing(&self, layer: usize) -> &[Storage] {
        match self.layers.get(layer) {
            Some(weights) if layer >= self.pinned => weights,
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(size: usize) -> Vec<Storage> {
        vec![Storage::from_vec(vec![0; size / 2]); 2]
    }

    fn layers(sizes: &[usize]) -> Vec<Unit> {
        let layer = |&size: &usize| Unit {
            always: weights(size),
            experts: Vec::new(),
        };
        sizes.iter().map(layer).collect()
    }

    /// A budget without a cache.
    fn room(fixed: usize, budget: usize) -> Room {
        Room {
            budget,
            fixed,
            cache: [0, 0],
        }
    }

    #[test]
    fn the_first_layers_stay_as_the_budget_allows() {
        for (budget, pinned) in [(500, 5), (499, 1), (310, 0), (410, 1)] {
            let window = Window::new(layers(&[100, 100, 100, 50, 50]), room(100, budget));
            assert_eq!(window.unwrap().pinned, pinned, "{budget}");
        }
    }

    #[test]
    fn experts_get_what_the_layers_leave() {
        let mixture = || {
            let layer = || Unit {
                always: weights(100),
                experts: vec![weights(40); 8],
            };
            vec![layer(), layer(), layer()]
        };
        let total = 50 + 3 * (100 + 320);
        for (budget, pinned, left) in [
            (total, 3, None),
            (total - 2, 3, Some(958)),
            (430, 3, Some(80)),
            (429, 0, Some(179)),
            (330, 0, Some(80)),
        ] {
            let window = Window::new(mixture(), room(50, budget)).unwrap();
            assert_eq!(window.pinned, pinned, "{budget}");
            let found = window.expert_stats().map(|stats| stats.room);
            assert_eq!(found, left, "{budget}");
        }
        assert!(matches!(
            Window::new(mixture(), room(50, 329)),
            Err(ModelError::BudgetTooSmall { needed: 330, .. })
        ));
    }

    #[test]
    fn the_cache_gives_way_to_layers_down_to_its_least() {
        for (budget, cache) in [(1000, 80), (330, 80), (320, 70), (260, 10)] {
            let room = Room {
                cache: [10, 80],
                ..room(50, budget)
            };
            let window = Window::new(layers(&[100, 100, 100]), room).unwrap();
            assert_eq!(window.cache_room(), cache, "{budget}");
        }
        let room = Room {
            cache: [10, 80],
            ..room(50, 259)
        };
        assert!(matches!(
            Window::new(layers(&[100, 100, 100]), room),
            Err(ModelError::BudgetTooSmall { needed: 260, .. })
        ));
    }

    #[test]
    fn a_budget_that_holds_no_two_layers_is_an_error_that_says_what_is_needed() {
        let error = Window::new(layers(&[100, 60, 200]), room(50, 409)).unwrap_err();
        assert!(
            matches!(
                error,
                ModelError::BudgetTooSmall {
                    budget: 409,
                    needed: 410
                }
            ),
            "{error}"
        );
        Window::new(layers(&[100]), room(50, 150)).unwrap();
    }
}
