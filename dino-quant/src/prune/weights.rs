//! Weights to zero.

use super::{Criterion, Pruning, Sparsity};
use crate::QuantError;
use crate::quantize::quantize_row;
use crate::tensor::matrices;
use dino_core::storage::AlignedBytes;
use dino_core::{DType, Storage, Tensor, blocks};
use rayon::prelude::*;

/// `tensor` with its least weights zeroed, in its own float type, or as F32 where it was quantized.
///
/// Weights compete within a row, whose outputs they share: that is what the criterion of [`Criterion::Wanda`] is made for, and no
/// row starves. `importance` has the mean square of each column's input, or of each column of each matrix of a stack. Of equal
/// weights the later ones go.
///
/// # Errors
/// [`QuantError::NoImportance`] if the criterion needs importance and there is none; [`QuantError::Importance`] if it has
/// another number of values; [`QuantError::NotFinite`] for a damaged weight.
pub fn prune_tensor(
    tensor: &Tensor,
    pruning: &Pruning,
    importance: Option<&[f32]>,
) -> Result<Tensor, QuantError> {
    let (columns, rows) = (tensor.columns(), tensor.rows());
    let importance = match pruning.criterion {
        Criterion::Magnitude => None,
        Criterion::Wanda => Some(importance.ok_or(QuantError::NoImportance)?),
    };
    let matrices = matrices(tensor, importance)?;
    let dtype = if tensor.dtype().is_quantized() {
        DType::F32
    } else {
        tensor.dtype()
    };
    let row_bytes = crate::quantize::row_bytes(dtype, columns)?;
    let mut bytes = AlignedBytes::zeroed(row_bytes * rows);
    if row_bytes > 0 {
        (bytes.as_mut_slice().par_chunks_exact_mut(row_bytes))
            .enumerate()
            .try_for_each_init(
                || (vec![0.0; columns], Vec::new()),
                |(values, scores), (row, out)| {
                    blocks::dequantize(tensor.dtype(), tensor.row(row), values);
                    let start = row / (rows / matrices) * columns;
                    let importance = importance.map(|all| &all[start..start + columns]);
                    judge(values, importance, scores);
                    zero(values, scores, pruning.sparsity);
                    quantize_row(dtype, values, None, out).map_err(|error| error.in_row(row))
                },
            )?;
    }
    let storage = Storage::from_aligned(bytes);
    Ok(Tensor::new(tensor.name(), dtype, tensor.shape(), storage)
        .expect("the same shape in a float type"))
}

/// What each weight is worth, with its place. A weight that is no number is worth all: it is told of later.
fn judge(values: &[f32], importance: Option<&[f32]>, scores: &mut Vec<(f32, u32)>) {
    scores.clear();
    scores.extend(values.iter().enumerate().map(|(column, value)| {
        let input = importance.map_or(1.0, |importance| importance[column].sqrt());
        let score = value.abs() * input;
        let score = if score.is_nan() { f32::INFINITY } else { score };
        (score, column as u32)
    }));
}

/// Zeroes what is worth least. Reorders `scores`.
fn zero(values: &mut [f32], scores: &mut [(f32, u32)], sparsity: Sparsity) {
    let mut least = |scores: &mut [(f32, u32)], count: usize| {
        if count == 0 {
            return;
        }
        // Of equal ones the later: where all are equal, the first stay.
        scores.select_nth_unstable_by(count - 1, |a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        for &(_, column) in &scores[..count] {
            // A damaged weight is to be found, not hidden.
            let value = &mut values[column as usize];
            if value.is_finite() {
                *value = 0.0;
            }
        }
    };
    match sparsity {
        Sparsity::Fraction(fraction) => {
            let count = (scores.len() as f64 * fraction).round() as usize;
            least(scores, count);
        }
        Sparsity::Pattern { kept, of } => {
            for run in scores.chunks_mut(of) {
                let count = run.len().saturating_sub(kept);
                least(run, count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tensor(shape: &[usize], values: &[f32]) -> Tensor {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Tensor::new("w", DType::F32, shape, Storage::from_vec(bytes)).unwrap()
    }

    fn pruned(
        shape: &[usize],
        values: &[f32],
        pruning: &Pruning,
        importance: Option<&[f32]>,
    ) -> Vec<f32> {
        let pruned = prune_tensor(&tensor(shape, values), pruning, importance).unwrap();
        pruned.to_array().unwrap().into_raw_vec_and_offset().0
    }

    #[test]
    fn wanda_weighs_by_the_input_of_each_matrix() {
        let values = [4.0, 3.0, 2.0, 1.0].repeat(2);
        let half = Pruning::new(Criterion::Wanda, Sparsity::Fraction(0.5));
        // |w| · ‖x‖ of the second matrix: 4, 3, 200, 100.
        let importance = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1e4, 1e4];
        let found = pruned(&[2, 1, 4], &values, &half, Some(&importance));
        assert_eq!(found, [4.0, 3.0, 0.0, 0.0, 0.0, 0.0, 2.0, 1.0]);
        let none = prune_tensor(&tensor(&[2, 4], &values), &half, None);
        assert_eq!(none.unwrap_err(), QuantError::NoImportance);
        let wrong = prune_tensor(&tensor(&[2, 4], &values), &half, Some(&[1.0; 5]));
        assert!(matches!(wrong, Err(QuantError::Importance { .. })));
    }

    #[test]
    fn a_damaged_weight_is_told_of() {
        let half = Pruning::new(Criterion::Magnitude, Sparsity::Pattern { kept: 1, of: 2 });
        let mut values = [1.0; 8];
        values[5] = f32::NAN;
        let error = prune_tensor(&tensor(&[2, 4], &values), &half, None).unwrap_err();
        assert!(
            matches!(
                error,
                QuantError::NotFinite {
                    row: 1,
                    column: 1,
                    ..
                }
            ),
            "{error}"
        );
    }

    proptest! {
        /// As many weights go as are to, none that stays is worth less than one that went, and none that stays changes.
        #[test]
        fn the_least_go(
            values in prop::collection::vec(-4.0_f32..4.0, 3 * 50),
            importance in prop::collection::vec(0.0_f32..4.0, 50),
            fraction in 0.01..0.99_f64,
            kept in 1..8_usize,
            more in 1..8_usize,
            wanda: bool,
        ) {
            let of = kept + more;
            let criterion = if wanda { Criterion::Wanda } else { Criterion::Magnitude };
            for sparsity in [Sparsity::Fraction(fraction), Sparsity::Pattern { kept, of }] {
                let found = pruned(&[3, 50], &values, &Pruning::new(criterion, sparsity), Some(&importance));
                let run = match sparsity {
                    Sparsity::Fraction(_) => 50,
                    Sparsity::Pattern { of, .. } => of,
                };
                for (before, after) in values.chunks(50).zip(found.chunks(50)) {
                    for (start, (before, after)) in before.chunks(run).zip(after.chunks(run)).enumerate() {
                        let score = |i: usize| {
                            let input = importance[start * run + i].sqrt();
                            before[i].abs() * if wanda { input } else { 1.0 }
                        };
                        let (mut went, mut stayed) = (Vec::new(), Vec::new());
                        for i in 0..before.len() {
                            if after[i] == 0.0 && before[i] != 0.0 { &mut went } else { &mut stayed }.push(score(i));
                        }
                        let expected = match sparsity {
                            Sparsity::Fraction(fraction) => (50.0 * fraction).round() as usize,
                            Sparsity::Pattern { kept, .. } => before.len().saturating_sub(kept),
                        };
                        // Weights that were zero before may be among those that went.
                        let zeros = before.iter().filter(|x| **x == 0.0).count();
                        prop_assert!(went.len() <= expected && went.len() + zeros >= expected);
                        let worst = went.iter().copied().fold(0.0, f32::max);
                        prop_assert!(zeros > 0 || stayed.iter().all(|&x| x >= worst));
                        prop_assert!(before.iter().zip(after).all(|(x, y)| *y == 0.0 || x == y));
                    }
                }
            }
        }
    }
}
