//! Int8 layers of every instruction set against integers computed beside them, and against f64.

use super::{INT8_MAX_COLUMNS, Int8Input, Int8Range, Int8Rows};
use crate::ops::{Linear, LinearInput, linear};
use crate::testing::{Random, random_tensor};
use crate::{Compute, Kernels, PackedWeight, ThreadPool};
use dino_core::storage::Arena;
use dino_core::{DType, Storage, Tensor};
use ndarray::{Array2, s};
use std::sync::Arc;

fn all_sets() -> Vec<Compute> {
    let pool = || ThreadPool::new(2).unwrap();
    let sets = Kernels::under_test().unwrap().into_iter();
    let compute = |kernels| Compute::of(kernels, pool());
    sets.map(compute).collect()
}

fn pack(compute: &Compute, tensor: &Tensor, factors: Option<&[f32]>) -> PackedWeight {
    let (lanes, pool) = (compute.kernels.lanes(), &compute.pool);
    PackedWeight::pack_int8(tensor, factors, lanes, pool, &mut Arena::new()).unwrap()
}

fn f32_tensor(values: &Array2<f32>) -> Tensor {
    let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let shape = [values.nrows(), values.ncols()];
    Tensor::new("w", DType::F32, &shape, Storage::from_vec(bytes)).unwrap()
}

fn run(
    compute: &Compute,
    weight: &PackedWeight,
    rows: &Array2<f32>,
    input: &Int8Input,
) -> Array2<f32> {
    let mut int8 = Int8Rows::new();
    int8.fill(compute, rows.view(), &Arc::new(input.clone()));
    let mut output = Array2::from_elem((rows.nrows(), weight.rows()), f32::NAN);
    let store = Linear::store(weight, None, output.view_mut());
    linear(compute, LinearInput::int8(rows.view(), &int8), &[store]);
    output
}

fn random_rows(rows: usize, columns: usize, random: &mut Random) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |_| random.value())
}

fn ranges() -> [Int8Input; 4] {
    let [symmetric, asymmetric] = [true, false].map(|symmetric| Int8Range::Token { symmetric });
    let [scale, zero_point] = [1.0 / 100.0, 31.0];
    let fixed = |zero_point| Int8Range::Tensor { scale, zero_point };
    [
        Int8Input::new(symmetric),
        Int8Input::new(asymmetric),
        Int8Input::new(fixed(0)),
        Int8Input::new(fixed(zero_point as i32)),
    ]
}

/// The formula of the module's page, in 64-bit integers, then two multiplications in f32.
fn expected(weights: &Array2<f32>, rows: &Array2<f32>, input: &Int8Input) -> Array2<f32> {
    let round = |x: f32| x.round_ties_even();
    let weight_scales = weights.map_axis(ndarray::Axis(1), |row| {
        row.iter().fold(0.0_f32, |m, w| m.max(w.abs())) / 127.0
    });
    let (mut output, columns) = (Array2::zeros((rows.nrows(), weights.nrows())), rows.ncols());
    for (t, row) in rows.rows().into_iter().enumerate() {
        let least = row.iter().fold(0.0_f32, |m, &x| m.min(x));
        let greatest = row.iter().fold(0.0_f32, |m, &x| m.max(x));
        let (scale, zero) = match input.range() {
            Int8Range::Tensor { scale, zero_point } => (scale, zero_point as f32),
            Int8Range::Token { symmetric: true } => (greatest.max(-least) / 127.0, 0.0),
            Int8Range::Token { symmetric: false } => {
                let scale = (greatest - least) / 254.0;
                (scale, round(-127.0 - least / scale))
            }
        };
        let code = |x: f32| round((x * (1.0 / scale)).clamp(-127.0 - zero, 127.0 - zero)) as i64;
        for (r, weight) in weights.rows().into_iter().enumerate() {
            let inverse = 127.0 / (weight.iter().fold(0.0_f32, |m, w| m.max(w.abs())));
            let products = (0..columns).map(|k| code(row[k]) * round(weight[k] * inverse) as i64);
            output[[t, r]] = products.sum::<i64>() as f32 * weight_scales[r] * scale;
        }
    }
    output
}

/// Every set gives the bits of the formula, for all ranges, ragged rows, columns and numbers of tokens.
#[test]
fn every_set_gives_the_bits_of_the_formula() {
    let mut random = Random::new(1);
    for (rows, columns) in [(1, 32), (40, 96), (67, 160), (16, 576), (129, 64)] {
        let weights = random_rows(rows, columns, &mut random);
        let tensor = f32_tensor(&weights);
        for tokens in [1, 2, 3, 4, 5, 7, 16, 17, 33, 47] {
            let mut x = random_rows(tokens, columns, &mut random);
            // Most values on one side, and some far outside of a fixed range.
            x.mapv_inplace(|x| 0.5 + x);
            x[[tokens / 2, columns / 2]] = -40.0;
            for input in &ranges() {
                let expected = expected(&weights, &x, input);
                for compute in &all_sets() {
                    let found = run(compute, &pack(compute, &tensor, None), &x, input);
                    let isa = compute.kernels.isa();
                    assert_eq!(
                        found, expected,
                        "{isa:?} {rows}×{columns}, {tokens} tokens, {input:?}"
                    );
                }
            }
        }
    }
}

/// The largest codes, of one sign, over the most columns: sums reach 2^30 and are exact.
#[test]
fn the_largest_sums_are_exact() {
    let columns = INT8_MAX_COLUMNS;
    let weights = Array2::from_shape_fn((3, columns), |(r, _)| if r == 1 { -1.0 } else { 1.0 });
    let x = Array2::from_shape_fn((17, columns), |(t, _)| if t % 2 == 0 { 1.0 } else { -1.0 });
    let tensor = f32_tensor(&weights);
    let inputs = [
        Int8Input::default(),
        Int8Input::new(Int8Range::Tensor {
            scale: 1.0 / 254.0,
            zero_point: -127,
        }),
        Int8Input::new(Int8Range::Tensor {
            scale: 1.0 / 254.0,
            zero_point: 127,
        }),
    ];
    for compute in &all_sets() {
        for input in &inputs {
            let found = run(compute, &pack(compute, &tensor, None), &x, input);
            assert_eq!(
                found,
                expected(&weights, &x, input),
                "{:?}",
                compute.kernels.isa()
            );
        }
    }
}

/// What rounding costs is at most half a step of each of both numbers, whatever type the weight was stored in.
#[test]
fn errors_are_within_half_a_step() {
    let mut random = Random::new(2);
    let compute = &all_sets().pop().unwrap();
    for dtype in DType::ALL {
        let tensor = random_tensor(dtype, 24, 512, &mut random);
        let weights = tensor.to_array().unwrap();
        let weights = weights.into_dimensionality::<ndarray::Ix2>().unwrap();
        let x = random_rows(5, 512, &mut random);
        for input in &ranges()[..2] {
            let found = run(compute, &pack(compute, &tensor, None), &x, input);
            for ((t, r), found) in found.indexed_iter() {
                let (x, w) = (x.row(t), weights.row(r));
                let largest = |row: &ndarray::ArrayView1<'_, f32>| {
                    row.iter().fold(0.0_f32, |m, x| m.max(x.abs()))
                };
                // An asymmetric step is no larger than a symmetric one.
                let steps = [largest(&x) / 127.0, largest(&w) / 127.0];
                let parts = x.iter().zip(&w).map(|(x, w)| {
                    0.5 * (steps[0] * w.abs() + steps[1] * x.abs() + steps[0] * steps[1])
                });
                // A zero point is rounded, too.
                let bound = 1.01 * parts.sum::<f32>() + 1e-6;
                let exact = x.dot(&w);
                assert!(
                    (found - exact).abs() <= bound,
                    "{dtype} {exact} {found} ± {bound}"
                );
            }
        }
    }
}

/// Factors move an outlier of the input into the weight: the product is the same, and rounded more finely.
#[test]
fn smoothing_takes_an_outlier_off_the_input() {
    let mut random = Random::new(3);
    for compute in &all_sets() {
        let weights = random_rows(32, 128, &mut random);
        let mut x = random_rows(20, 128, &mut random);
        x.column_mut(5).mapv_inplace(|x| 200.0 * x);
        let mut factors = vec![1.0; 128];
        factors[5] = 14.0;
        let exact = x.mapv(f64::from).dot(&weights.t().mapv(f64::from));
        let error = |factors: Option<&[f32]>| {
            let weight = pack(compute, &f32_tensor(&weights), factors);
            let input = Int8Input::default();
            let input = match factors {
                Some(factors) => input.smooth(factors),
                None => input,
            };
            let found = run(compute, &weight, &x, &input);
            (found.mapv(f64::from) - &exact).mapv(|e| e * e).sum()
        };
        let [plain, smoothed] = [error(None), error(Some(&factors))];
        // The steps of the input shrink to a fourteenth, those of weights grow fourteenfold and were as large as 1 / 127.
        assert!(smoothed < plain / 10.0, "{plain} {smoothed}");
    }
}

/// A row gives the same bits alone and among others, cut out and copied.
#[test]
fn a_row_gives_the_same_bits_alone_and_among_others() {
    let mut random = Random::new(4);
    for compute in &all_sets() {
        let weight = pack(
            compute,
            &f32_tensor(&random_rows(49, 96, &mut random)),
            None,
        );
        let x = random_rows(45, 96, &mut random);
        let input = Int8Input::default();
        let all = run(compute, &weight, &x, &input);
        let (mut whole, mut part) = (Int8Rows::new(), Int8Rows::new());
        whole.fill(compute, x.view(), &Arc::new(input.clone()));
        for (first, count) in [(0, 1), (1, 2), (3, 5), (8, 13), (21, 24), (44, 1)] {
            let rows = x.slice(s![first..first + count, ..]);
            part.copy_rows(&whole, first..first + count);
            let mut output = Array2::zeros((count, 49));
            let store = Linear::store(&weight, None, output.view_mut());
            linear(compute, LinearInput::int8(rows, &part), &[store]);
            assert_eq!(output, all.slice(s![first..first + count, ..]));
        }
    }
}

/// A row of zeros is zeros, and an infinite value shows in the result.
#[test]
fn zeros_and_infinities() {
    let mut random = Random::new(5);
    for compute in &all_sets() {
        let weight = pack(compute, &f32_tensor(&random_rows(8, 64, &mut random)), None);
        let mut x = Array2::zeros((2, 64));
        for input in &ranges()[..2] {
            assert_eq!(
                run(compute, &weight, &x, input),
                Array2::<f32>::zeros((2, 8))
            );
        }
        x[[1, 3]] = f32::INFINITY;
        let found = run(compute, &weight, &x, &Int8Input::default());
        assert!(found.row(1).iter().all(|x| !x.is_finite()));
        assert_eq!(found.row(0), Array2::<f32>::zeros((1, 8)).row(0));
    }
}
