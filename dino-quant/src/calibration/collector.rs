//! Watches a model.

use super::{Calibration, Histogram, InputStats};
use dino_core::{Observe, WeightPlace};
use ndarray::ArrayView2;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Collects statistics of all linear layers of the model that it is given to.
#[derive(Debug, Default)]
pub struct Collector {
    inputs: Mutex<BTreeMap<String, InputStats>>,
    histograms: bool,
}

impl Collector {
    /// A collector of mean squares and greatest magnitudes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts all magnitudes, too.
    #[must_use]
    pub fn with_histograms(self) -> Self {
        Self {
            histograms: true,
            ..self
        }
    }

    /// What was seen so far.
    pub fn calibration(&self) -> Calibration {
        Calibration {
            inputs: self.lock().clone(),
            ..Calibration::default()
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, InputStats>> {
        // A panic of another thread leaves sums that are whole rows, as good as any.
        self.inputs
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Observe for Collector {
    fn linear_input(&self, place: WeightPlace<'_>, rows: ArrayView2<'_, f32>) {
        let WeightPlace {
            name,
            matrix,
            matrices,
        } = place;
        let columns = rows.ncols();
        let mut inputs = self.lock();
        if !inputs.contains_key(name) {
            let stats = InputStats {
                counts: vec![0.0; matrices],
                sums: vec![0.0; matrices * columns],
                greatest: vec![0.0; matrices * columns],
                histogram: self.histograms.then(Histogram::default),
            };
            inputs.insert(name.into(), stats);
        }
        let Some(stats) = inputs.get_mut(name) else {
            return;
        };
        stats.counts[matrix] += rows.nrows() as f64;
        let of_matrix = matrix * columns..(matrix + 1) * columns;
        for row in rows.rows() {
            let sums = stats.sums[of_matrix.clone()].iter_mut();
            let channels = sums.zip(&mut stats.greatest[of_matrix.clone()]);
            for (&x, (sum, greatest)) in row.iter().zip(channels) {
                *sum += f64::from(x) * f64::from(x);
                *greatest = greatest.max(x.abs());
            }
            if let Some(histogram) = &mut stats.histogram {
                row.iter().for_each(|&x| histogram.add(x));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn place(name: &str, matrix: usize, matrices: usize) -> WeightPlace<'_> {
        WeightPlace {
            name,
            matrix,
            matrices,
        }
    }

    #[test]
    fn rows_of_all_calls_are_counted() {
        let collector = Collector::new().with_histograms();
        let a = place("a", 0, 1);
        collector.linear_input(a, array![[1.0, -3.0], [2.0, 0.0]].view());
        collector.linear_input(a, array![[0.0, 3.0]].view());
        collector.linear_input(place("b", 1, 3), array![[5.0]].view());
        let calibration = collector.calibration();
        let stats = &calibration.inputs["a"];
        assert_eq!(calibration.importance("a").unwrap(), [5.0 / 3.0, 6.0]);
        assert_eq!(stats.greatest, [2.0, 3.0]);
        assert_eq!(stats.histogram.as_ref().unwrap().len(), 6);
        // An expert that saw nothing holds all its columns for equal.
        assert_eq!(calibration.importance("b").unwrap(), [1.0, 25.0, 1.0]);
        assert_eq!(calibration.importance("c"), None);
    }
}
