//! Softmax over rows.

use super::rows::for_rows;
use crate::Compute;
use ndarray::ArrayViewMut2;

/// `exp(x − max) / sum`, row by row, in place.
///
/// −∞ gives 0. A row with NaN or +∞, or of nothing but −∞, holds NaN afterwards.
///
/// # Panics
/// If `rows` is not in standard layout.
pub fn softmax(compute: &Compute, rows: ArrayViewMut2<'_, f32>) {
    let columns = rows.ncols().max(1);
    for_rows(compute, rows, |_, rows| {
        for row in rows.chunks_exact_mut(columns) {
            compute.kernels.vector.softmax(row);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn rows_sum_to_one_each() {
        let compute = Compute::new(2).unwrap();
        let mut rows = Array2::from_shape_fn((300, 50), |(i, j)| ((i * 7 + j * 3) % 11) as f32);
        softmax(&compute, rows.view_mut());
        for row in rows.outer_iter() {
            assert!((row.sum() - 1.0).abs() < 1e-6);
            // Row i, column j and column j + 11 had the same value.
            assert_eq!(row[2], row[13]);
        }
    }
}
