//! The encoders against others: the simple ones against the PyPI package `gguf` (vectors made by
//! `tools/vectors_blocks.py`), byte for byte; all against ggml's quantizer (`tools/vectors_encoders.py`), by what they lose.

use dino_core::blocks::F16;
use dino_core::{DType, blocks};
use dino_quant::{can_encode, quantize};
use serde_json::Value;

#[test]
fn simple_formats_are_written_as_gguf_writes_them() {
    let text = include_str!("../../dino-core/tests/vectors/blocks.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let vectors = &vectors["quantize"];
    let columns = vectors["columns"].as_u64().unwrap() as usize;
    let values: Vec<f32> = bytes(&vectors["values"])
        .chunks_exact(4)
        .map(|x| f32::from_le_bytes(x.try_into().unwrap()))
        .collect();

    let mut seen = 0;
    for format in vectors["formats"].as_array().unwrap() {
        let dtype = DType::from_name(format["dtype"].as_str().unwrap()).unwrap();
        let found = quantize(dtype, columns, &values, None).unwrap();
        let expected = bytes(&format["bytes"]);
        assert_eq!(found.len(), expected.len(), "{dtype}");
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let block = i / dtype.block_bytes();
            assert_eq!(found, expected, "{dtype}, block {block}, byte {i}");
        }
        seen += 1;
    }
    assert_eq!(seen, 8, "F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, MXFP4");
}

/// With importance and without it, all rows together lose no more than by ggml, and none more than a tenth more.
#[test]
fn no_encoder_loses_more_than_ggmls() {
    let vectors: Value = serde_json::from_str(include_str!("vectors/errors.json")).unwrap();
    let columns = vectors["columns"].as_u64().unwrap() as usize;
    let rows = halves(&vectors["rows"]);
    let importance = halves(&vectors["importance"]);
    let ones = vec![1.0; columns];
    let mut worse = Vec::new();
    let mut seen: Vec<DType> = vec![DType::F32, DType::F16, DType::BF16];
    for format in vectors["formats"].as_array().unwrap() {
        let dtype = DType::from_name(format["dtype"].as_str().unwrap()).unwrap();
        seen.push(dtype);
        for (key, given, counted) in [
            ("plain", None, &ones),
            ("weighted", Some(&importance[..]), &importance),
        ] {
            let stored = quantize(dtype, columns, &rows, given).unwrap();
            let mut decoded = vec![0.0; rows.len()];
            blocks::dequantize(dtype, &stored, &mut decoded);
            let (mut ours, mut theirs) = (0.0, 0.0);
            let expected = format[key].as_array().unwrap();
            for (row, expected) in expected.iter().enumerate() {
                let row = row * columns..(row + 1) * columns;
                let values = rows[row.clone()].iter().zip(&decoded[row.clone()]);
                let lost = values.zip(counted).map(|((x, y), w)| w * (x - y).powi(2));
                let (lost, expected) =
                    (lost.map(f64::from).sum::<f64>(), expected.as_f64().unwrap());
                if lost > 1.1 * expected + 1e-12 {
                    let row = row.start / columns;
                    worse.push(format!(
                        "{dtype}, {key}, row {row}: {lost:e}, ggml {expected:e}"
                    ));
                }
                // Relative to what each row has, so that no row drowns the others.
                let size: f64 = rows[row].iter().map(|x| f64::from(x * x)).sum();
                ours += lost / size;
                theirs += expected / size;
            }
            println!("{dtype:7} {key:8} {:.4} of ggml's error", ours / theirs);
            if ours > theirs * (1.0 + 1e-5) {
                worse.push(format!("{dtype}, {key}: {ours:e}, ggml {theirs:e}"));
            }
        }
    }
    assert!(worse.is_empty(), "{worse:#?}");
    seen.sort();
    let written: Vec<DType> = DType::ALL.into_iter().filter(|&d| can_encode(d)).collect();
    assert_eq!(seen, written, "an encoder without vectors");
}

fn halves(hex: &Value) -> Vec<f32> {
    let bytes = bytes(hex);
    let halves = bytes.as_chunks().0.iter();
    halves.map(|&half| F16(half).to_f32()).collect()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let pairs = hex.as_str().unwrap().as_bytes().chunks_exact(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
