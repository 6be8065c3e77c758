//! The functions between the two matrices of a feed-forward layer.

use super::rows::{for_values, values};
use crate::{Activation, Compute, QuantizedRows};
use ndarray::{ArrayView2, ArrayViewMut2};

/// `x = activation(x)` for `[tokens, features]`.
///
/// # Panics
/// If `x` is not in standard layout.
pub fn activate(compute: &Compute, x: ArrayViewMut2<'_, f32>, activation: Activation) {
    for_values(compute, x, |_, x| {
        compute.kernels.vector.activate(x, activation);
    });
}

/// `gate = activation(gate) · up` for `[tokens, features]` each (Shazeer, 2020, "GLU variants").
///
/// # Panics
/// If shapes differ or a matrix is not in standard layout.
pub fn activate_gate(
    compute: &Compute,
    gate: ArrayViewMut2<'_, f32>,
    up: ArrayView2<'_, f32>,
    activation: Activation,
) {
    assert_eq!(gate.dim(), up.dim(), "shapes of gate and up");
    let up = values(up);
    for_values(compute, gate, |first, gate| {
        let up = &up[first..first + gate.len()];
        compute.kernels.vector.activate_gate(gate, up, activation);
    });
}

/// `gate = min(gate, most) · sigmoid(slope · min(gate, most)) · (1 + clamp(up, -most, most))` for `[tokens, features]` each;
/// `limit` is `(most, slope)` (gpt-oss, arXiv:2508.10925). Nothing of use is left in `up`.
///
/// # Panics
/// If shapes differ or a matrix is not in standard layout.
pub fn limited_gate(
    compute: &Compute,
    mut gate: ArrayViewMut2<'_, f32>,
    mut up: ArrayViewMut2<'_, f32>,
    (most, slope): (f32, f32),
) {
    // `x · sigmoid(slope · x)` is the Silu of `slope · x` over the slope.
    for_values(compute, gate.view_mut(), |_, gate| {
        gate.iter_mut().for_each(|x| *x = x.min(most) * slope);
    });
    for_values(compute, up.view_mut(), |_, up| {
        let limited = |x: f32| (1.0 + x.clamp(-most, most)) / slope;
        up.iter_mut().for_each(|x| *x = limited(*x));
    });
    activate_gate(compute, gate, up.view(), Activation::Silu);
}

/// As [`activate_gate`]; `quantized` then holds what `gate` holds.
///
/// # Panics
/// If shapes differ, a matrix is not in standard layout or rows are no whole blocks of 32.
pub fn activate_gate_quantized(
    compute: &Compute,
    gate: ArrayViewMut2<'_, f32>,
    up: ArrayView2<'_, f32>,
    activation: Activation,
    quantized: &mut QuantizedRows,
) {
    assert_eq!(gate.dim(), up.dim(), "shapes of gate and up");
    let up = values(up);
    quantized.fill_with(compute, gate, 32, |first, gate| {
        let up = &up[first..first + gate.len()];
        compute.kernels.vector.activate_gate(gate, up, activation);
    });
}

/// `x = x · sigmoid(gate)` for `[tokens, features]` each; nothing of use is left in `gate`.
///
/// # Panics
/// If shapes differ or a matrix is not in standard layout.
pub fn gate_by_sigmoid(
    compute: &Compute,
    x: ArrayViewMut2<'_, f32>,
    mut gate: ArrayViewMut2<'_, f32>,
) {
    assert_eq!(x.dim(), gate.dim(), "shapes of both");
    for_values(compute, gate.view_mut(), |_, gate| {
        compute.kernels.vector.scale(gate, -1.0);
        compute.kernels.vector.exp(gate);
    });
    let gate = values(gate.view());
    for_values(compute, x, |first, x| {
        for (x, gate) in x.iter_mut().zip(&gate[first..]) {
            *x /= 1.0 + gate;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use ndarray::Array2;

    #[test]
    fn a_gate_lets_through_what_its_sigmoid_says() {
        let compute = Compute::new(2).unwrap();
        let mut gate = Array2::from_shape_fn((2, 5), |(i, j)| 40.0 * i as f32 - 3.0 * j as f32);
        let expected = gate.mapv(|gate| 2.0 / (1.0 + (-gate).exp()));
        let mut x = Array2::from_elem((2, 5), 2.0);
        gate_by_sigmoid(&compute, x.view_mut(), gate.view_mut());
        assert!((x - expected).iter().all(|error| error.abs() < 1e-6));
    }

    #[test]
    fn gate_and_up_stay_within_their_limit() {
        let compute = Compute::new(2).unwrap();
        let mut gate = Array2::from_shape_fn((3, 70), |(i, j)| 0.4 * j as f32 - 9.0 - i as f32);
        let mut up = Array2::from_shape_fn((3, 70), |(i, j)| 12.0 - 0.3 * j as f32 - i as f32);
        let expected = ndarray::Zip::from(&gate)
            .and(&up)
            .map_collect(|&gate, &up| {
                let (gate, up) = (f64::from(gate).min(7.0), f64::from(up).clamp(-7.0, 7.0));
                gate / (1.0 + (-1.702 * gate).exp()) * (1.0 + up)
            });
        limited_gate(&compute, gate.view_mut(), up.view_mut(), (7.0, 1.702));
        for (found, expected) in gate.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() <= 1e-5 * (1.0 + expected.abs()));
        }
    }

    #[test]
    fn a_wide_row_is_cut_without_a_trace() {
        let mut random = Random::new(1);
        let shape = (3, 11_008);
        let gate = Array2::from_shape_fn(shape, |_| 4.0 * random.value());
        let up = Array2::from_shape_fn(shape, |_| random.value());
        let run = |threads| {
            let mut out = gate.clone();
            let compute = Compute::new(threads).unwrap();
            activate_gate(&compute, out.view_mut(), up.view(), Activation::Silu);
            out
        };
        let (one, many) = (run(1), run(3));
        assert_eq!(one, many);
        let (compute, mut fused) = (Compute::new(2).unwrap(), gate.clone());
        let mut quantized = [QuantizedRows::new(), QuantizedRows::new()];
        let [found, expected] = &mut quantized;
        let silu = Activation::Silu;
        activate_gate_quantized(&compute, fused.view_mut(), up.view(), silu, found);
        assert_eq!(one, fused);
        expected.fill(&compute, one.view());
        (0..3).for_each(|row| assert_eq!(expected.row(row), found.row(row)));
        for ((&gate, &up), &found) in gate.iter().zip(&up).zip(&one) {
            let expected = gate / (1.0 + (-gate).exp()) * up;
            assert!((found - expected).abs() <= 1e-6 * expected.abs());
        }
    }
}
