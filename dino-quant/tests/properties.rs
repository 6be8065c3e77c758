//! What holds for any values: errors stay within half a step, exact values come back, faults are named.

use dino_core::{CoreError, DType, Requantize, Storage, Tensor, blocks};
use dino_quant::{BlockRequantizer, QuantError, quantize, quantize_row};
use proptest::prelude::*;

const COLUMNS: usize = 256;
const HALF_EPSILON: f32 = 1.0 / 2048.0;
/// Half the distance of neighbours among subnormal halves.
const HALF_TINY: f32 = 1.0 / (1 << 25) as f32;

/// The squared error of a row whose values miss by half the least step of an f16 scale, times the greatest code of the
/// formats that are searched.
const COARSE: f64 = 256.0 * (128.0 * HALF_TINY as f64) * (128.0 * HALF_TINY as f64);

const BLOCKS: [DType; 13] = [
    DType::Q4_0,
    DType::Q4_1,
    DType::Q5_0,
    DType::Q5_1,
    DType::Q8_0,
    DType::Q2_K,
    DType::Q3_K,
    DType::Q4_K,
    DType::Q5_K,
    DType::Q6_K,
    DType::IQ4_NL,
    DType::IQ4_XS,
    DType::MXFP4,
];

/// Rows of any magnitude a weight may have, down to where scales leave the range of f16.
fn row() -> impl Strategy<Value = Vec<f32>> {
    let magnitude = (-30..12_i32).prop_map(|e| 2.0_f32.powi(e));
    let values = prop::collection::vec(-1.0_f32..1.0, COLUMNS);
    (magnitude, values).prop_map(|(scale, values)| values.iter().map(|x| x * scale).collect())
}

proptest! {
    #[test]
    fn floats_are_rounded_to_the_nearest(row in row()) {
        prop_assert_eq!(&there_and_back(DType::F32, &row), &row);
        for (dtype, relative, absolute) in [
            (DType::F16, HALF_EPSILON, HALF_TINY),
            (DType::BF16, 1.0 / 256.0, 0.0),
        ] {
            for (x, y) in row.iter().zip(there_and_back(dtype, &row)) {
                prop_assert!((x - y).abs() <= x.abs() * relative + absolute, "{dtype}: {x} became {y}");
            }
        }
    }

    /// Codes around zero. With an even count of codes the end opposite to the extreme value is one step short.
    #[test]
    fn symmetric_formats_err_by_half_a_step(row in row()) {
        for (dtype, steps, widest) in [
            (DType::Q8_0, 127.0, 0.5),
            (DType::Q5_0, 16.0, 1.0),
            (DType::Q4_0, 8.0, 1.0),
        ] {
            let back = there_and_back(dtype, &row);
            for (values, back) in row.chunks_exact(32).zip(back.chunks_exact(32)) {
                let extreme = values.iter().fold(0.0, |m: f32, x| m.max(x.abs()));
                let rounding = extreme * (HALF_EPSILON + 1e-5) + HALF_TINY * steps;
                let bound = widest * extreme / steps + rounding;
                for (x, y) in values.iter().zip(back) {
                    prop_assert!((x - y).abs() <= bound, "{dtype}: {x} became {y}, bound {bound}");
                }
            }
        }
    }

    #[test]
    fn formats_with_a_minimum_err_by_half_a_step(row in row()) {
        for (dtype, steps) in [(DType::Q5_1, 31.0), (DType::Q4_1, 15.0)] {
            let back = there_and_back(dtype, &row);
            for (values, back) in row.chunks_exact(32).zip(back.chunks_exact(32)) {
                let least = values.iter().copied().fold(f32::MAX, f32::min);
                let range = values.iter().copied().fold(f32::MIN, f32::max) - least;
                let rounding = (range + least.abs()) * (HALF_EPSILON + 1e-5) + HALF_TINY * (steps + 1.0);
                let bound = 0.5 * range / steps + rounding;
                for (x, y) in values.iter().zip(back) {
                    prop_assert!((x - y).abs() <= bound, "{dtype}: {x} became {y}, bound {bound}");
                }
            }
        }
    }

    /// A value misses by no more than a step, which is the range by the count of steps; with importance, what is important
    /// loses no more than without.
    #[test]
    fn all_formats_stay_below_their_noise(row in row(), importance in importance()) {
        for dtype in BLOCKS {
            let greatest = f64::from(row.iter().fold(0.0, |m: f32, x| m.max(x.abs())));
            let steps = match dtype {
                // Their steps differ in width.
                DType::MXFP4 | DType::IQ4_NL | DType::IQ4_XS => 7.0,
                _ => 2.0_f64.powf(dtype.bits_per_value().floor()) - 1.0,
            };
            let plain = there_and_back(dtype, &row);
            let lost = loss(&row, &plain, &[1.0; COLUMNS]);
            let bound = COLUMNS as f64 * (2.0 * greatest / steps).powi(2) + COARSE;
            prop_assert!(lost <= bound, "{dtype}: {lost:e}, bound {bound:e}");
            let weighted = weighted(dtype, &row, &importance);
            prop_assert!(weighted.iter().all(|x| x.is_finite()));
            let (with, without) = (loss(&row, &weighted, &importance), loss(&row, &plain, &importance));
            let most = importance.iter().copied().fold(0.0, f32::max);
            let coarse = COARSE * f64::from(most);
            prop_assert!(with <= 1.25 * without + coarse, "{dtype}: {with:e}, without importance {without:e}");
        }
    }

    /// What was read from blocks is near a grid already.
    #[test]
    fn quantizing_again_loses_less(row in row()) {
        let ones = [1.0; COLUMNS];
        for dtype in BLOCKS {
            let once = there_and_back(dtype, &row);
            let (first, again) = (loss(&row, &once, &ones), loss(&once, &there_and_back(dtype, &once), &ones));
            prop_assert!(again <= first + COARSE, "{dtype}: {again:e} after {first:e}");
        }
    }

    #[test]
    fn one_outlier_leaves_finite_values(place in 0..COLUMNS, exponent in -40..15_i32, rest in -140..10_i32) {
        let mut row = vec![2.0_f32.powi(rest); COLUMNS];
        row[place] = -(2.0_f32.powi(exponent));
        let greatest = row.iter().fold(0.0, |m: f32, x| m.max(x.abs()));
        for dtype in BLOCKS {
            for back in [there_and_back(dtype, &row), weighted(dtype, &row, &row.iter().map(|x| x * x).collect::<Vec<_>>())] {
                let bound = 1.5 * greatest + 256.0 * HALF_TINY;
                prop_assert!(back.iter().all(|x| x.abs() <= bound), "{dtype}: {back:?}");
            }
        }
    }

    /// A block written by hand, whose codes reach the end that fixes the scale, is found again.
    #[test]
    fn values_on_the_grid_come_back_exactly(
        scale in 1..2048_i32,
        min in -2048..2048_i32,
        mut fractions in prop::collection::vec(0.0..1.0_f32, 32),
        at in 0..31_usize,
    ) {
        // (type, least code, greatest code, whether the minimum counts)
        for (dtype, least, greatest, has_min) in [
            (DType::Q8_0, -127, 127, false),
            (DType::Q4_0, -8, 7, false),
            (DType::Q5_0, -16, 15, false),
            (DType::Q4_1, 0, 15, true),
            (DType::Q5_1, 0, 31, true),
        ] {
            fractions[at] = 0.0;
            fractions[at + 1] = 1.0;
            let min = if has_min { min } else { 0 };
            let values: Vec<f32> = fractions
                .iter()
                .map(|x| least + (x * (greatest - least) as f32) as i32)
                .map(|code| (scale * code + min) as f32 / 1024.0)
                .collect();
            prop_assert_eq!(there_and_back(dtype, &values), values, "{}", dtype);
        }
    }

    #[test]
    fn a_value_that_cannot_be_stored_is_named(
        place in 0..3 * COLUMNS,
        value in prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38, -3e38]),
    ) {
        let mut values = vec![0.5; 3 * COLUMNS];
        values[place] = value;
        let (at_row, at_column) = (place / COLUMNS, place % COLUMNS);
        let ones = [1.0; COLUMNS];
        for (dtype, importance) in BLOCKS.into_iter().flat_map(|d| [(d, None), (d, Some(&ones[..]))]) {
            // 3e38 is within MXFP4's range and beyond that of all that have an f16 for scale.
            if dtype == DType::MXFP4 && value.is_finite() {
                continue;
            }
            match quantize(dtype, COLUMNS, &values, importance) {
                Err(QuantError::NotFinite { row, column, .. }) if !value.is_finite() => {
                    prop_assert_eq!((row, column), (at_row, at_column));
                }
                Err(QuantError::TooLarge { row, column, .. }) if value.is_finite() => {
                    prop_assert_eq!((row, column), (at_row, at_column));
                }
                other => prop_assert!(false, "{dtype}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_row_of_zeros_stays_zero() {
    for dtype in BLOCKS {
        assert_eq!(there_and_back(dtype, &[0.0; COLUMNS]), [0.0; COLUMNS]);
        assert_eq!(
            weighted(dtype, &[0.0; COLUMNS], &[0.0; COLUMNS]),
            [0.0; COLUMNS]
        );
    }
}

#[test]
fn what_is_no_whole_block_is_refused() {
    let error = quantize(DType::Q8_0, 33, &[0.0; 33], None).unwrap_err();
    assert!(matches!(
        error,
        QuantError::RaggedRow {
            columns: 33,
            block: 32,
            ..
        }
    ));
    assert!(quantize(DType::Q8_0, 0, &[], None).unwrap().is_empty());
}

#[test]
fn matrices_are_held_in_the_target_and_vectors_left() {
    let requantizer = BlockRequantizer::new(DType::Q8_0).unwrap();
    let values: Vec<f32> = (0..192).map(|i| (i as f32).sin()).collect();
    let matrix = tensor(&[3, 64], &values);
    assert_eq!(requantizer.target(&matrix), Some(DType::Q8_0));
    assert_eq!(requantizer.target(&tensor(&[192], &values)), None);
    assert_eq!(requantizer.target(&tensor(&[64, 3], &values)), None);

    let small = requantizer.requantize(&matrix, DType::Q8_0).unwrap();
    assert_eq!(
        (small.name(), small.shape(), small.dtype()),
        ("w", &[3, 64][..], DType::Q8_0)
    );
    assert_eq!(
        small.storage().as_slice(),
        quantize(DType::Q8_0, 64, &values, None).unwrap()
    );
    assert_eq!(requantizer.target(&small), None);
}

#[test]
fn a_damaged_weight_is_named_with_its_place() {
    let mut values = vec![1.0; 128];
    values[70] = f32::NAN;
    let requantizer = BlockRequantizer::new(DType::Q8_0).unwrap();
    let error = requantizer
        .requantize(&tensor(&[2, 64], &values), DType::Q8_0)
        .unwrap_err();
    assert!(matches!(&error, CoreError::Requantize { name, .. } if name == "w"));
    let text = error.to_string();
    assert!(text.contains("row 1, column 6: NaN"), "{text}");
}

fn tensor(shape: &[usize], values: &[f32]) -> Tensor {
    let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    Tensor::new("w", DType::F32, shape, Storage::from_vec(bytes)).unwrap()
}

fn weighted(dtype: DType, values: &[f32], importance: &[f32]) -> Vec<f32> {
    let bytes = quantize(dtype, values.len(), values, Some(importance)).unwrap();
    let mut back = vec![0.0; values.len()];
    blocks::dequantize(dtype, &bytes, &mut back);
    back
}

fn loss(values: &[f32], back: &[f32], importance: &[f32]) -> f64 {
    let miss = |(x, y): (&f32, &f32)| f64::from(x - y).powi(2);
    let misses = values.iter().zip(back).map(miss);
    misses
        .zip(importance)
        .map(|(miss, &w)| miss * f64::from(w))
        .sum()
}

/// Mean squares of any scale, some of them zero.
fn importance() -> impl Strategy<Value = Vec<f32>> {
    let magnitude = (-20..20_i32).prop_map(|e| 2.0_f32.powi(e));
    let values = prop::collection::vec(prop_oneof![1 => Just(0.0), 9 => 0.01_f32..4.0], COLUMNS);
    (magnitude, values).prop_map(|(scale, values)| values.iter().map(|x| x * scale).collect())
}

fn there_and_back(dtype: DType, values: &[f32]) -> Vec<f32> {
    let mut bytes = vec![0; dtype.row_bytes(values.len()).unwrap()];
    quantize_row(dtype, values, None, &mut bytes).unwrap();
    let mut back = vec![0.0; values.len()];
    blocks::dequantize(dtype, &bytes, &mut back);
    back
}
