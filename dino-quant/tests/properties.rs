//! What holds for any values: errors stay within half a step, exact values come back, faults are named.

use dino_core::{CoreError, DType, Requantize, Storage, Tensor, blocks};
use dino_quant::{BlockRequantizer, QuantError, quantize, quantize_row};
use proptest::prelude::*;

const COLUMNS: usize = 64;
const HALF_EPSILON: f32 = 1.0 / 2048.0;
/// Half the distance of neighbours among subnormal halves.
const HALF_TINY: f32 = 1.0 / (1 << 25) as f32;

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
        for dtype in [DType::F16, DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1, DType::Q8_0] {
            match quantize(dtype, COLUMNS, &values) {
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
    for dtype in [
        DType::Q4_0,
        DType::Q4_1,
        DType::Q5_0,
        DType::Q5_1,
        DType::Q8_0,
    ] {
        assert_eq!(there_and_back(dtype, &[0.0; COLUMNS]), [0.0; COLUMNS]);
    }
}

#[test]
fn what_has_no_encoder_or_no_whole_block_is_refused() {
    let error = quantize(DType::Q4_K, 256, &[0.0; 256]).unwrap_err();
    assert_eq!(error, QuantError::NoEncoder(DType::Q4_K));
    assert!(BlockRequantizer::new(DType::Q6_K).is_err());
    let error = quantize(DType::Q8_0, 33, &[0.0; 33]).unwrap_err();
    assert!(matches!(
        error,
        QuantError::RaggedRow {
            columns: 33,
            block: 32,
            ..
        }
    ));
    assert!(quantize(DType::Q8_0, 0, &[]).unwrap().is_empty());
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
        quantize(DType::Q8_0, 64, &values).unwrap()
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

fn there_and_back(dtype: DType, values: &[f32]) -> Vec<f32> {
    let mut bytes = vec![0; dtype.row_bytes(values.len()).unwrap()];
    quantize_row(dtype, values, &mut bytes).unwrap();
    let mut back = vec![0.0; values.len()];
    blocks::dequantize(dtype, &bytes, &mut back);
    back
}
