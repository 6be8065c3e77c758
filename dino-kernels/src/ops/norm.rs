//! Normalisation of rows.

use super::rows::{for_rows, values};
use crate::{Compute, LayerNorm, QuantizedRows};
use ndarray::{ArrayView2, ArrayViewMut2};

/// `output = input · weight / sqrt(mean(input²) + epsilon)`, row by row (Zhang and Sennrich, 2019).
///
/// `input` and `output` are `[tokens, features]`, `weight` is `[features]`.
///
/// # Panics
/// If shapes do not fit or a matrix is not in standard layout.
pub fn rms_norm(
    compute: &Compute,
    input: ArrayView2<'_, f32>,
    weight: &[f32],
    epsilon: f32,
    output: ArrayViewMut2<'_, f32>,
) {
    assert_eq!(
        output.ncols(),
        weight.len(),
        "features of output and weight"
    );
    copied(compute, input, output, |rows| {
        compute.kernels.vector.rms_norm(rows, weight, epsilon);
    });
}

/// As [`rms_norm`]; `quantized` then holds what `output` holds.
///
/// # Panics
/// If shapes do not fit, a matrix is not in standard layout or rows are no whole blocks of 32.
pub fn rms_norm_quantized(
    compute: &Compute,
    input: ArrayView2<'_, f32>,
    (weight, epsilon): (&[f32], f32),
    output: ArrayViewMut2<'_, f32>,
    quantized: &mut QuantizedRows,
) {
    assert_eq!(
        output.ncols(),
        weight.len(),
        "features of output and weight"
    );
    copied_quantized(compute, input, output, quantized, |rows| {
        compute.kernels.vector.rms_norm(rows, weight, epsilon);
    });
}

/// Normalises the heads of each row: [`rms_norm`] of runs of `weight.len()` features, in place.
///
/// `rows` is `[tokens, heads · head_dim]`, `weight` is `[head_dim]`; with one head it is a norm of whole rows.
///
/// # Panics
/// If `rows` is not in standard layout or does not hold whole heads.
pub fn rms_norm_heads(
    compute: &Compute,
    rows: ArrayViewMut2<'_, f32>,
    weight: &[f32],
    epsilon: f32,
) {
    assert!(
        rows.ncols().is_multiple_of(weight.len().max(1)),
        "{} features are no whole heads of {}",
        rows.ncols(),
        weight.len()
    );
    for_rows(compute, rows, |_, rows| {
        compute.kernels.vector.rms_norm(rows, weight, epsilon);
    });
}

/// Normalises the heads of each row: [`layer_norm`] of runs of `head_dim` features, in place.
///
/// `rows` is `[tokens, heads · head_dim]`; `norm.weight` is `[heads · head_dim]`, weights of its own for each head, or
/// `[head_dim]` for all; `norm.bias` likewise.
///
/// # Panics
/// If `rows` is not in standard layout or shapes do not fit.
pub fn layer_norm_heads(
    compute: &Compute,
    rows: ArrayViewMut2<'_, f32>,
    norm: LayerNorm<'_>,
    head_dim: usize,
) {
    let period = norm.weight.len();
    assert!(
        period > 0 && rows.ncols().is_multiple_of(period) && period.is_multiple_of(head_dim),
        "{} features are no whole heads of {head_dim} with {period} weights",
        rows.ncols(),
    );
    for_rows(compute, rows, |_, rows| {
        for heads in rows.chunks_exact_mut(period) {
            for (index, head) in heads.chunks_exact_mut(head_dim).enumerate() {
                let part = index * head_dim..(index + 1) * head_dim;
                let norm = LayerNorm {
                    weight: &norm.weight[part.clone()],
                    bias: norm.bias.map(|bias| &bias[part]),
                    epsilon: norm.epsilon,
                };
                compute.kernels.vector.layer_norm(head, norm);
            }
        }
    });
}

/// `output = (input − mean) · weight / sqrt(variance + epsilon) + bias`, row by row (Ba et al., 2016).
///
/// `input` and `output` are `[tokens, features]`.
///
/// # Panics
/// If shapes do not fit or a matrix is not in standard layout.
pub fn layer_norm(
    compute: &Compute,
    input: ArrayView2<'_, f32>,
    norm: LayerNorm<'_>,
    output: ArrayViewMut2<'_, f32>,
) {
    assert_eq!(
        output.ncols(),
        norm.weight.len(),
        "features of output and weight"
    );
    copied(compute, input, output, |rows| {
        compute.kernels.vector.layer_norm(rows, norm);
    });
}

/// As [`layer_norm`]; `quantized` then holds what `output` holds.
///
/// # Panics
/// If shapes do not fit, a matrix is not in standard layout or rows are no whole blocks of 32.
pub fn layer_norm_quantized(
    compute: &Compute,
    input: ArrayView2<'_, f32>,
    norm: LayerNorm<'_>,
    output: ArrayViewMut2<'_, f32>,
    quantized: &mut QuantizedRows,
) {
    assert_eq!(
        output.ncols(),
        norm.weight.len(),
        "features of output and weight"
    );
    copied_quantized(compute, input, output, quantized, |rows| {
        compute.kernels.vector.layer_norm(rows, norm);
    });
}

/// [`copied`], with the result quantized.
fn copied_quantized(
    compute: &Compute,
    input: ArrayView2<'_, f32>,
    output: ArrayViewMut2<'_, f32>,
    quantized: &mut QuantizedRows,
    work: impl Fn(&mut [f32]) + Sync,
) {
    assert_eq!(input.dim(), output.dim(), "shapes of input and output");
    let (columns, input) = (input.ncols(), values(input));
    quantized.fill_with(compute, output, columns, |first, rows| {
        compute
            .kernels
            .vector
            .copy(rows, &input[first..first + rows.len()]);
        work(rows);
    });
}

/// Copies `input` to `output` and calls `work` on the copy, while it is in the nearest cache.
fn copied(
    compute: &Compute,
    input: ArrayView2<'_, f32>,
    output: ArrayViewMut2<'_, f32>,
    work: impl Fn(&mut [f32]) + Sync,
) {
    assert_eq!(input.dim(), output.dim(), "shapes of input and output");
    let (columns, input) = (input.ncols(), values(input));
    for_rows(compute, output, |first, rows| {
        let input = &input[first * columns..][..rows.len()];
        compute.kernels.vector.copy(rows, input);
        work(rows);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use ndarray::Array2;

    #[test]
    fn many_rows_are_as_one_by_one_for_any_threads() {
        let mut random = Random::new(1);
        let input = Array2::from_shape_fn((37, 576), |_| random.value());
        let weight = random.values(576);
        let mut outputs = Vec::new();
        for threads in [1, 2, 5] {
            let compute = Compute::new(threads).unwrap();
            let mut output = Array2::zeros(input.raw_dim());
            rms_norm(&compute, input.view(), &weight, 1e-5, output.view_mut());
            outputs.push(output);
        }
        assert_eq!(outputs[0], outputs[1]);
        assert_eq!(outputs[0], outputs[2]);
        let compute = Compute::new(1).unwrap();
        for (row, all) in input.outer_iter().zip(outputs[0].outer_iter()) {
            let mut alone = row.to_vec();
            compute.kernels.vector.rms_norm(&mut alone, &weight, 1e-5);
            assert_eq!(alone, all.to_vec());
        }
    }

    #[test]
    fn quantized_on_the_way_is_quantized_afterwards() {
        let mut random = Random::new(2);
        let input = Array2::from_shape_fn((37, 576), |_| random.value());
        let weight = random.values(576);
        let norm = LayerNorm {
            weight: &weight,
            bias: Some(&weight),
            epsilon: 1e-5,
        };
        let compute = Compute::new(2).unwrap();
        let mut apart = [Array2::zeros((37, 576)), Array2::zeros((37, 576))];
        let mut together = apart.clone();
        let [rms, layer] = &mut apart;
        rms_norm(&compute, input.view(), &weight, 1e-5, rms.view_mut());
        layer_norm(&compute, input.view(), norm, layer.view_mut());
        let mut quantized = [QuantizedRows::new(), QuantizedRows::new()];
        let [rms, layer] = &mut together;
        let [first, second] = &mut quantized;
        let parameters = (&*weight, 1e-5);
        rms_norm_quantized(&compute, input.view(), parameters, rms.view_mut(), first);
        layer_norm_quantized(&compute, input.view(), norm, layer.view_mut(), second);
        assert_eq!(apart, together);
        for (rows, found) in together.iter().zip(&quantized) {
            let mut expected = QuantizedRows::new();
            expected.fill(&compute, rows.view());
            (0..37).for_each(|row| assert_eq!(expected.row(row), found.row(row)));
        }
    }

    #[test]
    fn heads_have_weights_of_their_own() {
        let compute = Compute::new(2).unwrap();
        let mut rows = Array2::from_shape_vec((1, 4), vec![3.0, 5.0, -1.0, 7.0]).unwrap();
        let norm = LayerNorm {
            weight: &[1.0, 2.0, 3.0, 4.0],
            bias: None,
            epsilon: 0.0,
        };
        layer_norm_heads(&compute, rows.view_mut(), norm, 2);
        for (found, expected) in rows.iter().zip([-1.0, 2.0, -3.0, 4.0]) {
            assert!((found - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn heads_are_normalised_each() {
        let compute = Compute::new(1).unwrap();
        let mut rows = Array2::from_shape_vec((1, 4), vec![3.0, 4.0, 0.3, 0.4]).unwrap();
        rms_norm_heads(&compute, rows.view_mut(), &[1.0, 2.0], 0.0);
        let root = 12.5_f32.sqrt();
        for (found, expected) in rows.iter().zip([3.0, 8.0, 3.0, 8.0]) {
            assert!((found - expected / root).abs() < 1e-6);
        }
    }
}
