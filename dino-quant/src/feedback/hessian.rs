//! Which channels of an input go together.

use dino_core::{Observe, WeightPlace};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Channels whose products one task sums up.
const CHANNELS_A_TASK: usize = 96;

/// Sums up `x xᵀ` of the inputs of the weights that it is asked for, while a model runs.
///
/// A sum takes `4 · in_features²` bytes, so that only those are kept that were asked for.
#[derive(Debug, Default)]
pub struct HessianCollector {
    sums: Mutex<BTreeMap<String, Array2<f32>>>,
}

impl HessianCollector {
    /// A collector that is not asked for any yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on sums up the inputs of these weights, from nothing.
    pub fn begin<'a>(&self, weights: impl IntoIterator<Item = &'a str>) {
        let empty = |weight: &str| (weight.to_owned(), Array2::zeros((0, 0)));
        *self.lock() = weights.into_iter().map(empty).collect();
    }

    /// The sums, `[in_features, in_features]`; then nothing is asked for. Weights that saw nothing are left out.
    pub fn finish(&self) -> BTreeMap<String, Array2<f32>> {
        let mut sums = std::mem::take(&mut *self.lock());
        sums.retain(|_, sum| !sum.is_empty());
        sums
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Array2<f32>>> {
        // A panic of another thread leaves sums that are short of some rows.
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observe for HessianCollector {
    fn linear_input(&self, place: WeightPlace<'_>, rows: ArrayView2<'_, f32>) {
        let mut sums = self.lock();
        let Some(sum) = sums.get_mut(place.name).filter(|_| place.matrices == 1) else {
            return;
        };
        let columns = rows.ncols();
        if sum.is_empty() {
            *sum = Array2::zeros((columns, columns));
        }
        if sum.ncols() != columns {
            return;
        }
        // Each task has rows of its own, whose sums are taken in one order.
        let parts = sum.axis_chunks_iter_mut(Axis(0), CHANNELS_A_TASK);
        let channels = rows.axis_chunks_iter(Axis(1), CHANNELS_A_TASK);
        let tasks: Vec<_> = parts.into_iter().zip(channels).collect();
        tasks.into_par_iter().for_each(|(mut sum, channels)| {
            general_mat_mul(1.0, &channels.t(), &rows, 1.0, &mut sum);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_all_calls_are_summed_for_what_was_asked_for() {
        let collector = HessianCollector::new();
        let show = |name, rows: &Array2<f32>| {
            let place = WeightPlace {
                name,
                matrix: 0,
                matrices: 1,
            };
            collector.linear_input(place, rows.view());
        };
        let rows = Array2::from_shape_fn((5, 130), |(i, j)| ((i * 7 + j * 3) % 11) as f32 - 5.0);
        show("a", &rows);
        collector.begin(["a", "b"]);
        show("a", &rows);
        show("a", &rows);
        show("c", &rows);
        let sums = collector.finish();
        assert_eq!(sums.len(), 1);
        assert_eq!(sums["a"], rows.t().dot(&rows) * 2.0);
        assert!(collector.finish().is_empty());
    }
}
