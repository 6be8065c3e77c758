//! Tensors and statistics after scaling.

use crate::QuantError;
use dino_core::storage::AlignedBytes;
use dino_core::{CoreError, DType, Storage, Tensor, blocks};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// `tensor` in f32 with row `i` multiplied by `rows[i]` and column `j` by `columns[j]`, where they are given. A vector has one
/// row, of which `rows` scale the elements, as the matrix whose results it adds to.
///
/// # Errors
/// [`CoreError`] if its bytes cannot be counted.
///
/// # Panics
/// If there are more or fewer factors than rows or columns.
pub fn scaled(
    tensor: &Tensor,
    rows: Option<&[f32]>,
    columns: Option<&[f32]>,
) -> Result<Tensor, CoreError> {
    let (rows, columns) = if tensor.shape().len() < 2 {
        (None, rows)
    } else {
        (rows, columns)
    };
    let fits = |factors: Option<&[f32]>, count| factors.is_none_or(|f| f.len() == count);
    assert!(fits(rows, tensor.rows()), "a factor for each row");
    assert!(fits(columns, tensor.columns()), "a factor for each column");
    let (name, shape, width) = (tensor.name(), tensor.shape(), tensor.columns());
    let mut bytes = AlignedBytes::zeroed(Tensor::byte_size(name, DType::F32, shape)?);
    let write = |values: &mut Vec<f32>, (row, out): (usize, &mut [u8])| {
        blocks::dequantize(tensor.dtype(), tensor.row(row), values);
        let of_row = rows.map_or(1.0, |rows| rows[row]);
        for (j, (value, out)) in values.iter().zip(out.as_chunks_mut::<4>().0).enumerate() {
            let of_column = columns.map_or(1.0, |columns| columns[j]);
            *out = (value * of_row * of_column).to_le_bytes();
        }
    };
    if width > 0 {
        let out = bytes.as_mut_slice().par_chunks_exact_mut(4 * width);
        out.enumerate().for_each_init(|| vec![0.0; width], write);
    }
    Tensor::new(name, DType::F32, shape, Storage::from_aligned(bytes))
}

/// What is important of columns that are multiplied by `factors`: their inputs are divided by them.
///
/// # Errors
/// [`QuantError::Importance`] if it is of more or fewer columns.
pub fn scaled_importance(importance: &[f32], factors: &[f32]) -> Result<Vec<f32>, QuantError> {
    if importance.len() != factors.len() {
        return Err(QuantError::Importance {
            columns: factors.len(),
            found: importance.len(),
        });
    }
    let pairs = importance.iter().zip(factors);
    Ok(pairs.map(|(x, factor)| x / (factor * factor)).collect())
}

/// `Σ x xᵀ` of an input whose channels are divided by `factors`.
///
/// # Panics
/// If it has more or fewer channels.
pub fn scaled_hessian(hessian: ArrayView2<'_, f32>, factors: &[f32]) -> Array2<f32> {
    assert_eq!(hessian.dim(), (factors.len(), factors.len()), "channels");
    let mut scaled = hessian.to_owned();
    for (mut row, own) in scaled.rows_mut().into_iter().zip(factors) {
        for (x, other) in row.iter_mut().zip(factors) {
            *x /= own * other;
        }
    }
    scaled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], values: &[f32]) -> Tensor {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Tensor::new("w", DType::F32, shape, Storage::from_vec(bytes)).unwrap()
    }

    #[test]
    fn rows_columns_and_elements_are_multiplied() {
        let matrix = tensor(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let found = scaled(&matrix, Some(&[2.0, -1.0]), Some(&[1.0, 10.0, 0.5])).unwrap();
        let expected = ndarray::array![[2.0, 40.0, 3.0], [-4.0, -50.0, -3.0]];
        assert_eq!(found.to_array().unwrap(), expected);
        let vector = scaled(
            &tensor(&[3], &[1.0, 2.0, 3.0]),
            Some(&[2.0, 3.0, 4.0]),
            None,
        );
        let values = vector.unwrap().storage().as_slice().to_vec();
        let expected: Vec<u8> = [2.0_f32, 6.0, 12.0]
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        assert_eq!(values, expected);
    }

    /// The statistics are those of the inputs divided by the factors.
    #[test]
    fn statistics_are_those_of_the_scaled_input() {
        let inputs = ndarray::array![[1.0_f32, -2.0], [3.0, 0.5], [0.25, 4.0]];
        let factors = [2.0_f32, 0.5];
        let divided = &inputs / &ndarray::arr1(&factors);
        let found = scaled_hessian(inputs.t().dot(&inputs).view(), &factors);
        assert_eq!(found, divided.t().dot(&divided));
        let squares = inputs.t().dot(&inputs).diag().to_vec();
        let found = scaled_importance(&squares, &factors).unwrap();
        assert_eq!(found, divided.t().dot(&divided).diag().to_vec());
        assert!(scaled_importance(&squares, &[1.0]).is_err());
    }
}
