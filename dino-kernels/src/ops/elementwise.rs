//! Sums and products, value by value, of `[tokens, features]`.

use super::rows::{for_rows, for_values, values};
use crate::Compute;
use ndarray::{ArrayView2, ArrayViewMut2};

/// `x += y`.
///
/// # Panics
/// If shapes differ or a matrix is not in standard layout.
pub fn add(compute: &Compute, x: ArrayViewMut2<'_, f32>, y: ArrayView2<'_, f32>) {
    assert_eq!(x.dim(), y.dim(), "shapes of both");
    let y = values(y);
    for_values(compute, x, |first, x| {
        compute.kernels.vector.add(x, &y[first..first + x.len()]);
    });
}

/// `x += factor · y`.
///
/// # Panics
/// If shapes differ or a matrix is not in standard layout.
pub fn add_scaled(
    compute: &Compute,
    x: ArrayViewMut2<'_, f32>,
    y: ArrayView2<'_, f32>,
    factor: f32,
) {
    assert_eq!(x.dim(), y.dim(), "shapes of both");
    let y = values(y);
    for_values(compute, x, |first, x| {
        compute
            .kernels
            .vector
            .add_scaled(x, &y[first..first + x.len()], factor);
    });
}

/// `x · y`, value by value.
///
/// # Panics
/// If shapes differ or a matrix is not in standard layout.
pub fn multiply(compute: &Compute, x: ArrayViewMut2<'_, f32>, y: ArrayView2<'_, f32>) {
    assert_eq!(x.dim(), y.dim(), "shapes of both");
    let y = values(y);
    for_values(compute, x, |first, x| {
        x.iter_mut().zip(&y[first..]).for_each(|(x, y)| *x *= y);
    });
}

/// `x · factors`, column by column: `factors` is `[features]`.
///
/// # Panics
/// If shapes do not fit or `x` is not in standard layout.
pub fn scale_columns(compute: &Compute, x: ArrayViewMut2<'_, f32>, factors: &[f32]) {
    assert_eq!(x.ncols(), factors.len(), "a factor for each column");
    for_rows(compute, x, |_, rows| {
        for row in rows.chunks_exact_mut(factors.len()) {
            row.iter_mut()
                .zip(factors)
                .for_each(|(x, factor)| *x *= factor);
        }
    });
}

/// `ln(1 + exp(x + bias))`, column by column: `bias` is `[features]`. It is positive, and `x + bias` where that is large.
///
/// # Panics
/// If shapes do not fit or `x` is not in standard layout.
pub fn softplus(compute: &Compute, x: ArrayViewMut2<'_, f32>, bias: &[f32]) {
    /// Beyond, adding 1 changes nothing.
    const LARGE: f32 = 20.0;
    assert_eq!(x.ncols(), bias.len(), "a bias for each column");
    for_rows(compute, x, |_, rows| {
        for row in rows.chunks_exact_mut(bias.len()) {
            for (x, bias) in row.iter_mut().zip(bias) {
                let sum = *x + bias;
                *x = if sum > LARGE { sum } else { sum.exp().ln_1p() };
            }
        }
    });
}

/// `1 / (1 + e^-x)` of each value.
///
/// # Panics
/// If `x` is not in standard layout.
pub fn sigmoid(compute: &Compute, x: ArrayViewMut2<'_, f32>) {
    for_values(compute, x, |_, x| {
        compute.kernels.vector.scale(x, -1.0);
        compute.kernels.vector.exp(x);
        x.iter_mut().for_each(|x| *x = 1.0 / (1.0 + *x));
    });
}

/// `e^x` of each value.
///
/// # Panics
/// If `x` is not in standard layout.
pub fn exp(compute: &Compute, x: ArrayViewMut2<'_, f32>) {
    for_values(compute, x, |_, x| compute.kernels.vector.exp(x));
}

/// `x · factor`.
///
/// # Panics
/// If `x` is not in standard layout.
pub fn scale(compute: &Compute, x: ArrayViewMut2<'_, f32>, factor: f32) {
    for_values(compute, x, |_, x| compute.kernels.vector.scale(x, factor));
}

/// `cap · tanh(x / cap)`: values stay within ±`cap` (Gemma 2).
///
/// # Panics
/// If `x` is not in standard layout.
pub fn soft_cap(compute: &Compute, x: ArrayViewMut2<'_, f32>, cap: f32) {
    for_values(compute, x, |_, x| compute.kernels.vector.soft_cap(x, cap));
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn parts_meet_their_partners() {
        let compute = Compute::new(2).unwrap();
        let y = Array2::from_shape_fn((5, 4000), |(i, j)| (i * 4000 + j) as f32);
        let mut x = Array2::ones(y.raw_dim());
        add(&compute, x.view_mut(), y.view());
        assert_eq!(x, &y + 1.0);
        add_scaled(&compute, x.view_mut(), y.view(), -1.0);
        assert_eq!(x, Array2::ones(y.raw_dim()));
        scale(&compute, x.view_mut(), 1000.0);
        soft_cap(&compute, x.view_mut(), 30.0);
        assert_eq!(x, Array2::from_elem(y.raw_dim(), 30.0));
        multiply(&compute, x.view_mut(), y.view());
        assert_eq!(x, &y * 30.0);
    }

    #[test]
    fn columns_have_factors_and_biases_of_their_own() {
        let compute = Compute::new(2).unwrap();
        let mut x = Array2::from_shape_fn((300, 3), |(i, _)| i as f32 / 10.0 - 15.0);
        let before = x.clone();
        let columns = [0.5, -2.0, 3.0];
        softplus(&compute, x.view_mut(), &columns);
        scale_columns(&compute, x.view_mut(), &columns);
        exp(&compute, x.view_mut());
        for ((row, column), found) in x.indexed_iter() {
            let (x, factor) = (f64::from(before[[row, column]]), f64::from(columns[column]));
            let expected = (factor * (x + factor).exp().ln_1p()).exp();
            let error = (f64::from(*found) - expected).abs();
            assert!(error <= 1e-5 * expected, "{found} {expected}");
        }
    }
}
