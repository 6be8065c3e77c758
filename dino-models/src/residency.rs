//! Where weights are while a model runs.

use crate::ModelError;
use dino_core::Storage;

/// Where the packed weights of a model are while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Residency {
    /// Pages of the packed file where there is one, else memory of this process.
    #[default]
    Auto,
    /// Memory of this process: nothing is read from a file once the model is loaded.
    Resident,
    /// Pages of the packed file: the system keeps as many of them as it has room for, and other processes share them.
    Mapped,
    /// Pages of the packed file, of which the layers hold at most so many bytes at a time: those of the layer that runs and of
    /// the next one, and of as many others as the budget allows. For models that are larger than the memory.
    Streamed {
        /// Bytes that weights may take.
        budget: usize,
    },
}

/// The layers of a streamed model: which stay, and which come and go.
#[derive(Debug)]
pub(crate) struct Window {
    /// The bytes of each layer's weights.
    layers: Vec<Vec<Storage>>,
    /// Layers, the first ones, that stay.
    pinned: usize,
}

impl Window {
    /// A window over `layers` for a model whose other weights take `fixed` bytes.
    ///
    /// Layers are run in turn, over and over: to let go of the one that was used longest ago would always let go of the one
    /// that is wanted next. So the first ones stay and the rest pass through.
    ///
    /// # Errors
    /// [`ModelError::BudgetTooSmall`] if not even two layers and the fixed part fit.
    pub(crate) fn new(
        layers: Vec<Vec<Storage>>,
        fixed: usize,
        budget: usize,
    ) -> Result<Self, ModelError> {
        let size = |layer: &Vec<Storage>| layer.iter().map(Storage::len).sum::<usize>();
        let sizes: Vec<usize> = layers.iter().map(size).collect();
        let largest = sizes.iter().max().copied().unwrap_or(0);
        let needed = fixed.saturating_add(largest.saturating_mul(2));
        let total = sizes
            .iter()
            .fold(fixed, |sum, size| sum.saturating_add(*size));
        if budget < needed.min(total) {
            return Err(ModelError::BudgetTooSmall {
                budget,
                needed: needed.min(total),
            });
        }
        let mut room = if budget >= total {
            usize::MAX
        } else {
            budget - needed
        };
        let stays = |&&size: &&usize| {
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        };
        let pinned = sizes.iter().take_while(stays).count();
        Ok(Self { layers, pinned })
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

    /// The last layer was run.
    pub(crate) fn leave(&self) {
        if let Some(last) = self.layers.len().checked_sub(1) {
            self.release(last);
        }
    }

    fn prefetch(&self, layer: usize) {
        self.passing(layer).iter().for_each(Storage::prefetch);
    }

    fn release(&self, layer: usize) {
        self.passing(layer).iter().for_each(Storage::release);
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

    fn layers(sizes: &[usize]) -> Vec<Vec<Storage>> {
        let layer = |&size: &usize| vec![Storage::from_vec(vec![0; size / 2]); 2];
        sizes.iter().map(layer).collect()
    }

    #[test]
    fn the_first_layers_stay_as_the_budget_allows() {
        for (budget, pinned) in [(500, 5), (499, 1), (310, 0), (410, 1)] {
            let window = Window::new(layers(&[100, 100, 100, 50, 50]), 100, budget);
            assert_eq!(window.unwrap().pinned, pinned, "{budget}");
        }
    }

    #[test]
    fn a_budget_that_holds_no_two_layers_is_an_error_that_says_what_is_needed() {
        let error = Window::new(layers(&[100, 60, 200]), 50, 409).unwrap_err();
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
        Window::new(layers(&[100]), 50, 150).unwrap();
    }
}
