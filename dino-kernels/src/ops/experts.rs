//! Layers of which each row goes through a few: rows are gathered by layer, and results added up by row.

use super::linear::{Linear, LinearInput, run_groups};
use super::rows::{for_rows, values};
use crate::Compute;
use ndarray::{ArrayView2, ArrayViewMut2};

/// Copies rows of `from`, `[tokens, features]`, one for each of `rows`, to `output`, `[rows, features]`.
///
/// # Panics
/// If there is no such row, shapes do not fit or a matrix is not in standard layout.
pub fn gather(
    compute: &Compute,
    from: ArrayView2<'_, f32>,
    rows: &[u32],
    output: ArrayViewMut2<'_, f32>,
) {
    let columns = from.ncols();
    assert_eq!(output.dim(), (rows.len(), columns), "a row for each index");
    let from = values(from);
    for_rows(compute, output, |first, output| {
        for (to, &row) in output.chunks_exact_mut(columns).zip(&rows[first..]) {
            let start = row as usize * columns;
            compute
                .kernels
                .vector
                .copy(to, &from[start..start + columns]);
        }
    });
}

/// Which results belong to each token, and how much they count; `[tokens, used]`.
#[derive(Clone, Copy, Debug)]
pub struct Choices<'a> {
    /// Results of each token.
    pub used: usize,
    /// The row of each result.
    pub rows: &'a [u32],
    /// What it is multiplied by.
    pub shares: &'a [f32],
}

/// Adds to each row of `output`, `[tokens, features]`, the token's share of its `results`, `[_, features]`, in the
/// order of its choices.
///
/// # Panics
/// If there is no such result, shapes do not fit or a matrix is not in standard layout.
pub fn add_choices(
    compute: &Compute,
    output: ArrayViewMut2<'_, f32>,
    results: ArrayView2<'_, f32>,
    choices: Choices<'_>,
) {
    let (tokens, columns) = output.dim();
    let Choices { used, rows, shares } = choices;
    assert_eq!(results.ncols(), columns, "features of results and output");
    assert!(
        rows.len() == tokens * used && shares.len() == rows.len(),
        "choices of every token"
    );
    let results = values(results);
    for_rows(compute, output, |first, output| {
        for (index, to) in output.chunks_exact_mut(columns).enumerate() {
            for choice in (first + index) * used..(first + index + 1) * used {
                let start = rows[choice] as usize * columns;
                let result = &results[start..start + columns];
                compute
                    .kernels
                    .vector
                    .add_scaled(to, result, shares[choice]);
            }
        }
    });
}

/// Multiplies each of `rows`, `[tokens, _]`, by `sigmoid(input · weight)`; `input` is `[tokens, features]`, `weight` is
/// `[features]`.
///
/// # Panics
/// If shapes do not fit or a matrix is not in standard layout.
pub fn scale_by_sigmoid(
    compute: &Compute,
    rows: ArrayViewMut2<'_, f32>,
    input: ArrayView2<'_, f32>,
    weight: &[f32],
) {
    assert_eq!(
        input.dim(),
        (rows.nrows(), weight.len()),
        "a row and its input"
    );
    let (columns, input) = (rows.ncols(), values(input));
    for_rows(compute, rows, |first, rows| {
        let inputs = input[first * weight.len()..].chunks_exact(weight.len());
        for (row, input) in rows.chunks_exact_mut(columns).zip(inputs) {
            let score = compute.kernels.vector.dot(input, weight);
            let share = 1.0 / (1.0 + (-score).exp());
            compute.kernels.vector.scale(row, share);
        }
    });
}

/// Runs linear layers, each with an input of its own, as one parallel region.
///
/// # Panics
/// If shapes do not fit.
pub fn linear_each(compute: &Compute, jobs: &[(LinearInput<'_>, Linear<'_>)]) {
    let tuning = compute.tuning();
    let (mut starts, mut tasks) = (Vec::with_capacity(jobs.len()), 0);
    for (input, layer) in jobs {
        layer.check(input);
        starts.push(tasks);
        if input.tokens() > 0 {
            tasks += layer.groups().div_ceil(layer.groups_a_task(input, tuning));
        }
    }
    compute.pool.run(tasks, |task| {
        // Jobs without tasks start where the next one does.
        let index = starts.partition_point(|&start| start <= task) - 1;
        let (input, layer) = &jobs[index];
        let step = layer.groups_a_task(input, tuning);
        let first = (task - starts[index]) * step;
        let groups = first..(first + step).min(layer.groups());
        run_groups((compute, tuning), *input, layer, groups);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear;
    use crate::testing::{Random, random_tensor};
    use crate::{PackedWeight, QuantizedRows};
    use dino_core::DType;
    use dino_core::storage::Arena;
    use ndarray::{Array2, s};

    #[test]
    fn rows_are_gathered_and_added_up() {
        let compute = Compute::new(2).unwrap();
        let from = Array2::from_shape_fn((3, 2000), |(i, j)| (10 * i + j % 7) as f32);
        let mut gathered = Array2::zeros((5, 2000));
        gather(&compute, from.view(), &[2, 0, 0, 1, 2], gathered.view_mut());
        assert_eq!(gathered.row(0), from.row(2));
        assert_eq!(gathered.row(3), from.row(1));
        let mut output = Array2::ones((2, 2000));
        let choices = Choices {
            used: 2,
            rows: &[0, 1, 4, 3],
            shares: &[0.5, 2.0, 1.0, -1.0],
        };
        add_choices(&compute, output.view_mut(), gathered.view(), choices);
        for (j, column) in output.columns().into_iter().enumerate() {
            let [a, b, c] = [0, 1, 2].map(|i| from[[i, j]]);
            assert_eq!(column.to_vec(), [1.0 + 0.5 * c + 2.0 * a, 1.0 + c - b]);
        }
    }

    #[test]
    fn a_share_is_a_sigmoid() {
        let compute = Compute::new(1).unwrap();
        let input = Array2::from_shape_vec((2, 2), vec![1.0, 2.0, 0.0, 0.0]).unwrap();
        let mut rows = Array2::ones((2, 3));
        scale_by_sigmoid(&compute, rows.view_mut(), input.view(), &[1.0, -1.0]);
        assert!((rows[[0, 2]] - 1.0 / (1.0 + 1_f32.exp())).abs() < 1e-6);
        assert_eq!(rows[[1, 0]], 0.5);
    }

    /// Each job gives what it gives alone, for float and quantized weights, and some without rows.
    #[test]
    fn layers_with_inputs_of_their_own_are_as_alone() {
        let mut random = Random::new(3);
        for (dtype, threads) in [(DType::F32, 1), (DType::Q4_0, 3), (DType::F16, 2)] {
            let compute = Compute::new(threads).unwrap();
            let lanes = compute.kernels.lanes();
            let weights = [40, 7, 200, 64].map(|rows| {
                let tensor = random_tensor(dtype, rows, 96, &mut random);
                PackedWeight::pack(&tensor, lanes, &compute.pool, &mut Arena::new()).unwrap()
            });
            let all = Array2::from_shape_fn((20, 96), |_| random.value());
            let ranges = [0..3, 3..3, 3..4, 4..20];
            let mut whole = QuantizedRows::new();
            whole.fill(&compute, all.view());
            let parts = ranges.clone().map(|range| {
                let mut part = QuantizedRows::new();
                part.copy_rows(&whole, range);
                part
            });
            let inputs: Vec<_> = (ranges.iter().zip(&parts))
                .map(|(range, part)| LinearInput::quantized(all.slice(s![range.clone(), ..]), part))
                .collect();
            let mut found =
                [0, 1, 2, 3].map(|i| Array2::zeros((ranges[i].len(), weights[i].rows())));
            let jobs: Vec<_> = (inputs.iter().zip(&weights).zip(&mut found))
                .map(|((input, weight), to)| (*input, Linear::store(weight, None, to.view_mut())))
                .collect();
            linear_each(&compute, &jobs);
            drop(jobs);
            for ((input, weight), found) in inputs.iter().zip(&weights).zip(found) {
                let mut alone = Array2::zeros(found.raw_dim());
                linear(
                    &compute,
                    *input,
                    &[Linear::store(weight, None, alone.view_mut())],
                );
                assert_eq!(alone, found, "{dtype}");
            }
        }
    }
}
