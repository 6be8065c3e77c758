//! Short measurements of what is fastest on this machine.

use super::{Panels, Tuning};
use crate::ops::{Linear, LinearInput, linear};
use crate::packed::PackError;
use crate::{Compute, PackedWeight, QuantizedRows};
use dino_core::storage::Arena;
use dino_core::{DType, Storage, Tensor};
use ndarray::{Array2, s};
use std::time::{Duration, Instant};

/// How long each of four questions may take.
const TIME: Duration = Duration::from_millis(100);
/// What a way must take at most of the time of the one that is in use: a smaller gain may be noise.
const GAIN: f64 = 0.97;
/// Numbers of rows between which panels begin to pay.
const ROWS: [usize; 8] = [8, 12, 16, 24, 32, 48, 64, 96];

impl Tuning {
    /// Measures which ways are the fastest with the kernels and threads of `compute`, in less than half a second.
    ///
    /// It is right on a machine that has nothing else to do; what it finds on a busy one costs some speed, and no bit of a
    /// result. `compute` may be in use meanwhile, and is left as it was.
    ///
    /// # Errors
    /// If there is no memory for a few MB of weights.
    pub fn measure(compute: &Compute) -> Result<Self, PackError> {
        let before = compute.tuning();
        let found = measure(compute);
        compute.set_tuning(before);
        found
    }
}

fn measure(compute: &Compute) -> Result<Tuning, PackError> {
    let start = compute.kernels.tuning();
    let mut best = start;
    if let Some(panels) = start.panels {
        let plain = Work::new(DType::Q4_0, [512, 2048], compute)?;
        best.panels = Some(panel_bytes(&plain, start, panels));
        let from = panels_from(&plain, best, panels.from);
        let blocks = Work::new(DType::Q4_K, [512, 2048], compute)?;
        let from_blocks = panels_from(&blocks, best, panels.from_blocks);
        best.panels = best.panels.map(|panels| Panels {
            from,
            from_blocks,
            ..panels
        });
    }
    let small = Work::new(DType::Q4_0, [576, 576], compute)?;
    best.task_work = task_work(&small, best);
    Ok(best)
}

/// How large panels are for the many rows of a prompt.
fn panel_bytes(work: &Work<'_>, tuning: Tuning, panels: Panels) -> Panels {
    let sizes = [
        panels.bytes,
        14 << 10,
        20 << 10,
        40 << 10,
        64 << 10,
        128 << 10,
    ];
    let ways = sizes.map(|bytes| Tuning {
        panels: Some(Panels { bytes, ..panels }),
        ..tuning
    });
    let best = ways[best(&work.fastest(&ways, (256, 1), TIME))];
    best.panels.unwrap_or(panels)
}

/// The number of rows from which panels are faster; `usual` unless it clearly is another.
fn panels_from(work: &Work<'_>, tuning: Tuning, usual: usize) -> usize {
    let way = |from| Tuning {
        panels: tuning.panels.map(|panels| Panels {
            from,
            from_blocks: from,
            ..panels
        }),
        ..tuning
    };
    let (always, never) = (way(2), way(4096));
    let slower = ROWS.iter().rposition(|&rows| {
        let times = work.fastest(&[always, never], (rows, 2), TIME / ROWS.len() as u32);
        times[0] > times[1] * if rows < usual { GAIN } else { 1.0 / GAIN }
    });
    let found = slower.map_or(ROWS[0], |last| {
        ROWS.get(last + 1).map_or(2 * ROWS[last], |next| *next)
    });
    // Numbers between two that were measured are not known.
    let below = slower.map_or(0, |last| ROWS[last]);
    if (below..=found).contains(&usual) {
        usual
    } else {
        found
    }
}

/// How much work is a task, for the one row of a small model's layers.
fn task_work(work: &Work<'_>, tuning: Tuning) -> usize {
    let sizes = [tuning.task_work, 1 << 13, 1 << 14, 1 << 16, 1 << 17];
    let ways = sizes.map(|task_work| Tuning {
        task_work,
        ..tuning
    });
    ways[best(&work.fastest(&ways, (1, 50), TIME))].task_work
}

/// The fastest of several, if it is clearly faster than the first.
fn best(times: &[f64]) -> usize {
    let least = (0..times.len()).min_by(|&a, &b| times[a].total_cmp(&times[b]));
    least
        .filter(|&least| times[least] < GAIN * times[0])
        .unwrap_or(0)
}

/// A layer and its input, to be multiplied over and over.
struct Work<'a> {
    compute: &'a Compute,
    weight: PackedWeight,
    rows: Array2<f32>,
}

impl<'a> Work<'a> {
    fn new(dtype: DType, shape: [usize; 2], compute: &'a Compute) -> Result<Self, PackError> {
        /// As a scale in f16, 0.05: a sane number whatever it is taken for.
        const BYTE: u8 = 0x2a;
        let blocks = shape[0] * shape[1] / dtype.block_len();
        let bytes = Storage::from_vec(vec![BYTE; blocks * dtype.block_bytes()]);
        let tensor = Tensor::new("measure", dtype, &shape, bytes).expect("whole blocks");
        let lanes = compute.kernels.lanes();
        Ok(Self {
            weight: PackedWeight::pack(&tensor, lanes, &compute.pool, &mut Arena::new())?,
            rows: Array2::from_shape_fn((256, shape[1]), |(i, j)| ((7 * i + j) % 13) as f32 - 6.0),
            compute,
        })
    }

    /// The fastest times of so many rows, so often, in each of several ways that are tried in turn.
    fn fastest(&self, ways: &[Tuning], (rows, times): (usize, usize), limit: Duration) -> Vec<f64> {
        let rows = self.rows.slice(s![..rows, ..]);
        let mut quantized = QuantizedRows::new();
        quantized.fill(self.compute, rows);
        let mut output = Array2::zeros((rows.nrows(), self.weight.rows()));
        let mut fastest = vec![f64::INFINITY; ways.len()];
        let start = Instant::now();
        while start.elapsed() < limit {
            for (way, fastest) in ways.iter().zip(&mut fastest) {
                self.compute.set_tuning(*way);
                let start = Instant::now();
                for _ in 0..times {
                    let input = LinearInput::quantized(rows, &quantized);
                    let layer = Linear::store(&self.weight, None, output.view_mut());
                    linear(self.compute, input, &[layer]);
                }
                *fastest = fastest.min(start.elapsed().as_secs_f64());
            }
        }
        fastest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kernels, ThreadPool};

    #[test]
    fn what_is_measured_fits_and_leaves_the_rest_as_it_was() {
        for kernels in Kernels::under_test().unwrap() {
            let compute = Compute::of(kernels, ThreadPool::new(2).unwrap());
            let found = Tuning::measure(&compute).unwrap();
            assert!(found.fits(kernels), "{:?} {found:?}", kernels.isa());
            assert_eq!(compute.tuning(), kernels.tuning());
        }
    }

    #[test]
    fn a_gain_that_may_be_noise_is_none() {
        assert_eq!(best(&[1.0, 0.98, 1.5]), 0);
        assert_eq!(best(&[1.0, 0.98, 0.9]), 2);
    }
}
