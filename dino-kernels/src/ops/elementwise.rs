//! Sums and products, value by value, of `[tokens, features]`.

use super::rows::{for_values, values};
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
    }
}
