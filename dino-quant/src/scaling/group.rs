//! What reads one input, and the factors that serve it best.

use crate::feedback::{can_feed_back, encode_with_feedback};
use crate::quantize::{quantize_row, row_bytes};
use crate::{QuantError, scaling};
use dino_core::{DType, Tensor, blocks};
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Rows whose errors are multiplied by the Hessian together.
const ROWS: usize = 16;
/// Powers that are tried.
const STEPS: usize = 20;
/// No factor is further from the others' mean than by this: scales of 16 bits have an end.
const FARTHEST: f32 = 64.0;

/// A matrix that reads an input.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The matrix.
    pub tensor: &'a Tensor,
    /// The type that it will be stored as.
    pub target: DType,
}

/// All that reads one input, whose channels can be scaled.
#[derive(Debug)]
pub struct ScaledGroup<'a> {
    /// The matrices, all of as many columns as the input has channels.
    pub readers: Vec<Reader<'a>>,
    /// The factor of each channel by its number: channels that are copies of one another share one.
    pub factor_of: Vec<usize>,
    /// The mean square of each channel.
    pub mean_squares: Vec<f32>,
    /// `Σ x xᵀ` of the input, `[channels, channels]`; without, channels are taken to have nothing to do with each other.
    pub hessian: Option<ArrayView2<'a, f32>>,
}

/// Factors, and what they are good for.
#[derive(Clone, Debug, PartialEq)]
pub struct Scales {
    /// By which columns are multiplied and channels divided; one for each number in [`ScaledGroup::factor_of`].
    pub factors: Vec<f32>,
    /// The power of the channels' root mean square that they are.
    pub alpha: f32,
    /// The power of the columns' mean magnitude that they are divided by.
    pub beta: f32,
    /// What the results of the readers lose with them, `Σ eᵀ H e`.
    pub error: f64,
    /// What they lose without.
    pub plain_error: f64,
}

impl ScaledGroup<'_> {
    /// The factors that lose least, judged by about `rows` rows of each reader and then by all; `None` if none lose less than
    /// plain rounding does. Tried are `rms^α` and `rms^α / |w|^(1-α)` for `α` from 0.05 to 1.
    ///
    /// # Panics
    /// If a reader has another number of columns than the group has channels.
    pub fn search(&self, rows: usize) -> Option<Scales> {
        let count = self.factor_of.iter().max().map_or(0, |last| last + 1);
        let channels = self.channel_sizes(count);
        let columns = self.column_sizes(count);
        let mut best: Option<Scales> = None;
        let plain = self.error(None, rows);
        for step in 1..=STEPS {
            let alpha = step as f32 / STEPS as f32;
            for beta in [0.0, 1.0 - alpha] {
                let Some(factors) = factors(&channels, &columns, alpha, beta) else {
                    continue;
                };
                let error = self.error(Some(&factors), rows);
                let least = best.as_ref().map_or(plain, |best| best.error);
                if error < least {
                    best = Some(Scales {
                        factors,
                        alpha,
                        beta,
                        error,
                        plain_error: plain,
                    });
                }
            }
        }
        let mut found = best?;
        found.error = self.error(Some(&found.factors), usize::MAX);
        found.plain_error = self.error(None, usize::MAX);
        (found.error < found.plain_error).then_some(found)
    }

    /// What the readers' results lose if their columns are multiplied by these factors, stored, and divided again, judged by
    /// about `rows` rows of each and scaled to all: `Σ eᵀ H e`, or with the mean squares for `H`. Infinite if a value cannot be
    /// stored, as writing it will tell.
    ///
    /// # Panics
    /// As [`search`](Self::search).
    pub fn error(&self, factors: Option<&[f32]>, rows: usize) -> f64 {
        let (columns, importance) = self.of_columns(factors);
        let error = |reader: &Reader<'_>| {
            let trial = Trial {
                reader: *reader,
                columns: &columns,
                importance: &importance,
                group: self,
            };
            trial.error_of(rows)
        };
        self.quantized().map(error).sum()
    }

    /// The same of all rows where errors are fed back, if there is a Hessian to feed them back by.
    ///
    /// # Panics
    /// As [`error`](Self::error).
    pub fn error_with_feedback(&self, factors: Option<&[f32]>) -> f64 {
        let (columns, importance) = self.of_columns(factors);
        let hessian = self.hessian.map(|h| scaling::scaled_hessian(h, &columns));
        let error = |reader: &Reader<'_>| {
            if let Some(hessian) = &hessian
                && can_feed_back(reader.target)
            {
                let tensor = scaling::scaled(reader.tensor, None, Some(&columns));
                let Ok(tensor) = tensor else {
                    return f64::INFINITY;
                };
                let (target, importance) = (reader.target, Some(&*importance));
                match encode_with_feedback(&tensor, target, importance, hessian.view()) {
                    Ok(Some(found)) => return found.error,
                    Ok(None) => {}
                    Err(_) => return f64::INFINITY,
                }
            }
            let trial = Trial {
                reader: *reader,
                columns: &columns,
                importance: &importance,
                group: self,
            };
            trial.error_of(usize::MAX)
        };
        self.quantized().map(error).sum()
    }

    /// The readers that lose anything.
    fn quantized(&self) -> impl Iterator<Item = &Reader<'_>> {
        let quantized = |reader: &&Reader<'_>| reader.target.is_quantized();
        self.readers.iter().filter(quantized)
    }

    /// The factor of each column, and what is important of it then.
    fn of_columns(&self, factors: Option<&[f32]>) -> (Vec<f32>, Vec<f32>) {
        let of_column = |&place: &usize| factors.map_or(1.0, |factors| factors[place]);
        let columns: Vec<f32> = self.factor_of.iter().map(of_column).collect();
        let pairs = self.mean_squares.iter().zip(&columns);
        let importance = pairs.map(|(x, factor)| x / (factor * factor)).collect();
        (columns, importance)
    }

    /// The root mean square of the channels of each factor.
    fn channel_sizes(&self, count: usize) -> Vec<f32> {
        let mut sums = vec![(0.0_f32, 0.0_f32); count];
        for (&place, &square) in self.factor_of.iter().zip(&self.mean_squares) {
            sums[place].0 += square;
            sums[place].1 += 1.0;
        }
        let root = |(sum, n): (f32, f32)| (sum / n.max(1.0)).sqrt();
        sums.into_iter().map(root).collect()
    }

    /// The mean magnitude of the columns of each factor, as part of the greatest of their row's.
    fn column_sizes(&self, count: usize) -> Vec<f32> {
        let mut sums = vec![0.0_f64; count];
        for Reader { tensor, .. } in &self.readers {
            let mut values = vec![0.0; tensor.columns()];
            for row in 0..tensor.rows() {
                blocks::dequantize(tensor.dtype(), tensor.row(row), &mut values);
                let greatest = values.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
                if greatest > 0.0 {
                    let pairs = self.factor_of.iter().zip(&values);
                    pairs.for_each(|(&p, x)| sums[p] += f64::from((x / greatest).abs()));
                }
            }
        }
        sums.into_iter().map(|sum| sum as f32).collect()
    }
}

/// One reader under some factors.
struct Trial<'a, 'g> {
    reader: Reader<'a>,
    columns: &'a [f32],
    importance: &'a [f32],
    group: &'a ScaledGroup<'g>,
}

impl Trial<'_, '_> {
    /// What about `rows` rows lose, scaled to all.
    fn error_of(&self, rows: usize) -> f64 {
        let all = self.reader.tensor.rows();
        let sampled = rows.clamp(1, all.max(1)).min(all);
        let places: Vec<usize> = (0..sampled).map(|i| i * all / sampled).collect();
        let parts = places.par_chunks(ROWS).map(|rows| self.error(rows));
        let parts: Result<Vec<f64>, QuantError> = parts.collect();
        // In their order, so that sums do not depend on the threads.
        let sum = parts.map(|parts| parts.into_iter().sum::<f64>());
        sum.unwrap_or(f64::INFINITY) * all as f64 / sampled.max(1) as f64
    }

    /// What some rows lose.
    fn error(&self, rows: &[usize]) -> Result<f64, QuantError> {
        let Reader { tensor, target } = self.reader;
        let width = tensor.columns();
        let mut values = vec![0.0; width];
        let mut bytes = vec![0; row_bytes(target, width)?];
        let mut misses = Array2::<f32>::zeros((rows.len(), width));
        for (mut misses, &row) in misses.axis_iter_mut(Axis(0)).zip(rows) {
            blocks::dequantize(tensor.dtype(), tensor.row(row), &mut values);
            values
                .iter_mut()
                .zip(self.columns)
                .for_each(|(x, f)| *x *= f);
            quantize_row(target, &values, Some(self.importance), &mut bytes)
                .map_err(|error| error.in_row(row))?;
            let Some(decoded) = misses.as_slice_mut() else {
                unreachable!("rows of a new array");
            };
            blocks::dequantize(target, &bytes, decoded);
            for ((y, x), factor) in decoded.iter_mut().zip(&values).zip(self.columns) {
                *y = (x - *y) / factor;
            }
        }
        let product = |(e, s): (&f32, &f32)| f64::from(*e) * f64::from(*s);
        Ok(match self.group.hessian {
            Some(hessian) => misses.iter().zip(&misses.dot(&hessian)).map(product).sum(),
            None => {
                let of_row = |row: ndarray::ArrayView1<'_, f32>| {
                    let squares = row.iter().zip(&self.group.mean_squares);
                    squares.map(|(e, m)| f64::from(e * e * m)).sum::<f64>()
                };
                misses.rows().into_iter().map(of_row).sum()
            }
        })
    }
}

/// `channels^alpha / columns^beta`, around 1; 1 where one of both is nothing. `None` if all are 1.
fn factors(channels: &[f32], columns: &[f32], alpha: f32, beta: f32) -> Option<Vec<f32>> {
    let powers = channels.iter().zip(columns);
    let powers: Vec<f32> = powers.map(|(x, w)| x.powf(alpha) / w.powf(beta)).collect();
    let is_usable = |x: &f32| x.is_normal();
    let logs = powers.iter().filter(|x| is_usable(x)).map(|x| x.ln());
    let (sum, count) = logs.fold((0.0, 0), |(sum, n), log| (sum + f64::from(log), n + 1));
    let mean = (sum / f64::from(count.max(1))).exp() as f32;
    let around = |x: &f32| {
        if is_usable(x) {
            (x / mean).clamp(FARTHEST.recip(), FARTHEST)
        } else {
            1.0
        }
    };
    let factors: Vec<f32> = powers.iter().map(around).collect();
    factors
        .iter()
        .any(|factor| *factor != 1.0)
        .then_some(factors)
}
