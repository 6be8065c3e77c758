//! What the columns of a matrix are worth.

use crate::QuantError;
use dino_core::{Tensor, blocks};
use rayon::prelude::*;

/// Rows that are summed at once; fixed, so that sums do not depend on the threads.
const ROWS: usize = 64;

/// What each column of `tensor` adds to its output on average: the sum of its squared weights, times the mean square of its
/// input where `importance` says that.
///
/// # Errors
/// [`QuantError::Importance`] if that has another number of values; [`QuantError::NotFinite`] for a damaged weight.
pub fn column_energies(
    tensor: &Tensor,
    importance: Option<&[f32]>,
) -> Result<Vec<f64>, QuantError> {
    let (columns, rows) = (tensor.columns(), tensor.rows());
    if let Some(importance) = importance.filter(|importance| importance.len() != columns) {
        let found = importance.len();
        return Err(QuantError::Importance { columns, found });
    }
    let sums = (0..rows.div_ceil(ROWS)).into_par_iter().map(|part| {
        let (mut values, mut sums) = (vec![0.0; columns], vec![0.0; columns]);
        for row in part * ROWS..rows.min((part + 1) * ROWS) {
            blocks::dequantize(tensor.dtype(), tensor.row(row), &mut values);
            for (column, (sum, value)) in sums.iter_mut().zip(&values).enumerate() {
                if !value.is_finite() {
                    let value = *value;
                    return Err(QuantError::NotFinite { row, column, value });
                }
                *sum += f64::from(*value).powi(2);
            }
        }
        Ok(sums)
    });
    let sums: Vec<Vec<f64>> = sums.collect::<Result<_, _>>()?;
    let mut total = vec![0.0; columns];
    for sums in sums {
        total.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum);
    }
    if let Some(importance) = importance {
        let pairs = total.iter_mut().zip(importance);
        pairs.for_each(|(energy, &input)| *energy *= f64::from(input));
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dino_core::{DType, Storage};

    #[test]
    fn a_column_is_worth_what_it_adds() {
        let values: Vec<f32> = (0..130).flat_map(|_| [1.0, 2.0, 0.0]).collect();
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let storage = Storage::from_vec(bytes);
        let tensor = Tensor::new("w", DType::F32, &[130, 3], storage).unwrap();
        assert_eq!(column_energies(&tensor, None).unwrap(), [130.0, 520.0, 0.0]);
        let weighted = column_energies(&tensor, Some(&[4.0, 0.5, 9.0])).unwrap();
        assert_eq!(weighted, [520.0, 260.0, 0.0]);
        assert!(column_energies(&tensor, Some(&[1.0])).is_err());
    }
}
