//! The triangular factor that spreads errors.

use ndarray::ArrayView2;
use rayon::prelude::*;

/// Rows or columns that are worked on together.
const BLOCK: usize = 64;

/// `U`, upper triangular, with `H⁻¹ = Uᵀ U`, for columns in some order.
#[derive(Debug)]
pub struct Factor {
    order: Vec<usize>,
    /// `[n, n]`; what lies below the diagonal is 0.
    rows: Vec<f32>,
}

impl Factor {
    /// The factor of `hessian`, `[n, n]`, its rows and columns taken in `order`; `None` if it is no matrix of sums of
    /// squares, even after a good deal was added to its diagonal.
    ///
    /// A hundredth of the mean of the diagonal is added, so that channels that saw little can be divided by.
    ///
    /// # Panics
    /// If `hessian` is not square, or `order` not of its size.
    pub fn new(hessian: ArrayView2<'_, f32>, order: Vec<usize>) -> Option<Self> {
        let n = order.len();
        assert_eq!(
            hessian.dim(),
            (n, n),
            "a square matrix and an order of its columns"
        );
        let mean = hessian.diag().iter().map(|&x| f64::from(x)).sum::<f64>() / n.max(1) as f64;
        if !(mean.is_finite() && mean > 0.0) {
            return None;
        }
        // With rows and columns from the last to the first, H = L Lᵀ; turned round, U is the inverse of L.
        let last = |i: usize| order[n - 1 - i];
        let inverse = [0.01, 0.1, 1.0].into_iter().find_map(|damping| {
            let mut lower: Vec<f64> = (0..n * n)
                .map(|at| f64::from(hessian[[last(at / n), last(at % n)]]))
                .collect();
            for i in 0..n {
                lower[i * n + i] += damping * mean;
            }
            cholesky(&mut lower, n)?;
            Some(inverted(&lower, n))
        })?;
        let turned = |at: usize| inverse[(n - 1 - at / n) * n + (n - 1 - at % n)] as f32;
        let rows = (0..n * n).map(turned).collect();
        Some(Self { order, rows })
    }

    /// The columns in their order.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Row `row` of `U`, from its diagonal on: the columns that come from there.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &[f32] {
        let n = self.order.len();
        &self.rows[row * n + row..(row + 1) * n]
    }
}

/// Replaces a symmetric matrix by the lower triangular `L` of `L Lᵀ`; `None` if there is none. What lies above the diagonal is
/// left as it is.
fn cholesky(matrix: &mut [f64], n: usize) -> Option<()> {
    for begin in (0..n).step_by(BLOCK) {
        let end = (begin + BLOCK).min(n);
        // What the columns so far leave of these, in all rows from here on.
        let done: Vec<f64> = (begin..end)
            .flat_map(|j| matrix[j * n..j * n + begin].to_vec())
            .collect();
        matrix[begin * n..].par_chunks_exact_mut(n).for_each(|row| {
            let (known, open) = row.split_at_mut(begin);
            for (j, x) in open[..end - begin].iter_mut().enumerate() {
                *x -= dot(known, &done[j * begin..(j + 1) * begin]);
            }
        });
        for i in begin..end {
            solve_row(matrix, n, i, begin..i);
            let square = matrix[i * n + i] - norm(&matrix[i * n + begin..i * n + i]);
            if !(square > 0.0 && square.is_finite()) {
                return None;
            }
            matrix[i * n + i] = square.sqrt();
        }
        let (above, below) = matrix.split_at_mut(end * n);
        below.par_chunks_exact_mut(n).for_each(|row| {
            for j in begin..end {
                let of_j = &above[j * n + begin..j * n + j];
                let x = row[j] - dot(&row[begin..j], of_j);
                row[j] = x / above[j * n + j];
            }
        });
    }
    Some(())
}

/// Divides row `i` by the rows `columns`, which are done.
fn solve_row(matrix: &mut [f64], n: usize, i: usize, columns: std::ops::Range<usize>) {
    let begin = columns.start;
    let (above, row) = matrix.split_at_mut(i * n);
    for j in columns {
        let x = row[j] - dot(&row[begin..j], &above[j * n + begin..j * n + j]);
        row[j] = x / above[j * n + j];
    }
}

/// The inverse of a lower triangular matrix.
fn inverted(lower: &[f64], n: usize) -> Vec<f64> {
    let parts: Vec<Vec<f64>> = (0..n)
        .into_par_iter()
        .step_by(BLOCK)
        .map(|begin| inverted_columns(lower, n, begin..(begin + BLOCK).min(n)))
        .collect();
    let mut inverse = vec![0.0; n * n];
    for (part, begin) in parts.iter().zip((0..n).step_by(BLOCK)) {
        let width = (n - begin).min(BLOCK);
        for (i, row) in part.chunks_exact(width).enumerate() {
            inverse[i * n + begin..i * n + begin + width].copy_from_slice(row);
        }
    }
    inverse
}

/// Some columns of the inverse, `[n, columns]`.
fn inverted_columns(lower: &[f64], n: usize, columns: std::ops::Range<usize>) -> Vec<f64> {
    let (begin, width) = (columns.start, columns.len());
    let mut inverse = vec![0.0; n * width];
    for i in begin..n {
        let (done, rest) = inverse.split_at_mut(i * width);
        let row = &mut rest[..width];
        if let Some(one) = row.get_mut(i - begin) {
            *one = 1.0;
        }
        for k in begin..i {
            let factor = lower[i * n + k];
            let of_k = &done[k * width..(k + 1) * width];
            row.iter_mut().zip(of_k).for_each(|(x, y)| *x -= factor * y);
        }
        let diagonal = lower[i * n + i];
        row.iter_mut().for_each(|x| *x /= diagonal);
    }
    inverse
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x)
}

/// In eight sums, so that registers are used and the order is fixed.
fn dot(x: &[f64], y: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (x_runs, x_rest) = x.as_chunks::<8>();
    let (y_runs, y_rest) = y.as_chunks::<8>();
    for (x, y) in x_runs.iter().zip(y_runs) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f64 = x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    /// `(Uᵀ U) (H + damping) = 1`, in both orders and beyond one block.
    #[test]
    fn it_is_the_factor_of_the_inverse() {
        for n in [1, 5, 64, 150] {
            let rows = Array2::from_shape_fn((2 * n, n), |(i, j)| {
                ((i * 31 + j * 17 + i * j) % 23) as f32 / 11.0 - 1.0
            });
            let hessian = rows.t().dot(&rows);
            for order in [(0..n).collect::<Vec<_>>(), (0..n).rev().collect()] {
                let factor = Factor::new(hessian.view(), order.clone()).unwrap();
                let upper = Array2::from_shape_fn((n, n), |(i, j)| {
                    if j < i {
                        0.0
                    } else {
                        f64::from(factor.row(i)[j - i])
                    }
                });
                let mean = hessian.diag().mean().unwrap();
                let damped = Array2::from_shape_fn((n, n), |(i, j)| {
                    let damping = if i == j { 0.01 * mean } else { 0.0 };
                    f64::from(hessian[[order[i], order[j]]] + damping)
                });
                let one = upper.t().dot(&upper).dot(&damped);
                for ((i, j), found) in one.indexed_iter() {
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!((found - expected).abs() < 1e-3, "{n} [{i}, {j}]: {found}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_sum_of_squares_has_none() {
        let negative = Array2::from_diag(&ndarray::arr1(&[1.0, -5.0]));
        assert!(Factor::new(negative.view(), vec![0, 1]).is_none());
        let nothing = Array2::zeros((2, 2));
        assert!(Factor::new(nothing.view(), vec![0, 1]).is_none());
        // A channel that saw nothing is damped.
        let one = Array2::from_diag(&ndarray::arr1(&[4.0, 0.0]));
        assert!(Factor::new(one.view(), vec![0, 1]).is_some());
    }
}
