//! Watches a model.

use super::{Calibration, Histogram, Influence, InputStats};
use dino_core::{Observe, WeightPlace};
use ndarray::{Array2, ArrayView1, ArrayView2, CowArray, Ix2};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Collects statistics of all layers of the model that it is given to, which must run one text at a time.
#[derive(Debug, Default)]
pub struct Collector {
    inputs: Mutex<BTreeMap<String, InputStats>>,
    stream: Mutex<Stream>,
    histograms: bool,
    /// What channels are divided by before they are counted, by weight.
    factors: BTreeMap<String, Vec<f32>>,
}

/// The residual stream, from layer to layer.
#[derive(Debug, Default)]
struct Stream {
    layers: Vec<Influence>,
    /// What the last layer that was seen reads, and which that is.
    before: Option<(usize, Array2<f32>)>,
}

impl Collector {
    /// A collector of mean squares, greatest magnitudes and what layers change.
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

    /// Divides the channels of inputs by these factors, by weight, before they are counted: what is seen is then the input of
    /// a smoothed layer.
    #[must_use]
    pub fn divided_by(self, factors: BTreeMap<String, Vec<f32>>) -> Self {
        Self { factors, ..self }
    }

    /// What was seen so far.
    pub fn calibration(&self) -> Calibration {
        Calibration {
            inputs: lock(&self.inputs).clone(),
            layers: lock(&self.stream).layers.clone(),
            ..Calibration::default()
        }
    }
}

/// A panic of another thread leaves sums that are whole rows, as good as any.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Rows whose channels are divided by factors, if there are any for them.
pub(super) fn divided<'a>(
    rows: ArrayView2<'a, f32>,
    factors: Option<&Vec<f32>>,
) -> CowArray<'a, f32, Ix2> {
    match factors {
        Some(factors) if factors.len() == rows.ncols() => {
            (&rows / &ArrayView1::from(factors)).into()
        }
        _ => rows.into(),
    }
}

impl Observe for Collector {
    fn linear_input(&self, place: WeightPlace<'_>, rows: ArrayView2<'_, f32>) {
        let rows = divided(rows, self.factors.get(place.name));
        self.count(place, rows.view());
    }

    fn residual(&self, layer: usize, rows: ArrayView2<'_, f32>) {
        let mut stream = lock(&self.stream);
        if let Some((before, seen)) = stream.before.take()
            && before + 1 == layer
            && seen.dim() == rows.dim()
        {
            if stream.layers.len() < layer {
                stream.layers.resize(layer, Influence::default());
            }
            stream.layers[before].add(seen.view(), rows);
        }
        stream.before = Some((layer, rows.to_owned()));
    }
}

impl Collector {
    fn count(&self, place: WeightPlace<'_>, rows: ArrayView2<'_, f32>) {
        let WeightPlace {
            name,
            matrix,
            matrices,
        } = place;
        let columns = rows.ncols();
        let mut inputs = lock(&self.inputs);
        if !inputs.contains_key(name) {
            let stats = InputStats {
                counts: vec![0.0; matrices],
                sums: vec![0.0; matrices * columns],
                greatest: vec![0.0; matrices * columns],
                limits: [0.0; 2],
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
                stats.limits = [stats.limits[0].min(x), stats.limits[1].max(x)];
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
        assert_eq!(stats.limits, [-3.0, 3.0]);
        assert_eq!(stats.histogram.as_ref().unwrap().len(), 6);
        // An expert that saw nothing holds all its columns for equal.
        assert_eq!(calibration.importance("b").unwrap(), [1.0, 25.0, 1.0]);
        assert_eq!(calibration.importance("c"), None);
        let factors = BTreeMap::from([("a".to_owned(), vec![0.5, 3.0])]);
        let divided = Collector::new().divided_by(factors);
        divided.linear_input(a, array![[1.0, -3.0], [2.0, 0.0]].view());
        let stats = &divided.calibration().inputs["a"];
        assert_eq!(
            (&*stats.greatest, stats.limits),
            (&[4.0, 1.0][..], [-1.0, 4.0])
        );
    }

    #[test]
    fn what_layers_change_is_added_up() {
        let collector = Collector::new();
        let (right, up) = (array![[1.0, 0.0]], array![[0.0, 1.0]]);
        for (layer, rows) in [
            (0, &right),
            (1, &up),
            (2, &up),
            (0, &right),
            (1, &right),
            (2, &right),
        ] {
            collector.residual(layer, rows.view());
        }
        let layers = collector.calibration().layers;
        assert_eq!(
            layers.iter().map(Influence::mean).collect::<Vec<_>>(),
            [0.5, 0.0]
        );
    }
}
