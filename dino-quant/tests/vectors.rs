//! The encoders against the PyPI package `gguf` (vectors made by `tools/vectors_blocks.py`), byte for byte.

use dino_core::DType;
use dino_quant::{can_encode, quantize};
use serde_json::Value;

#[test]
fn every_encoder_writes_what_gguf_writes() {
    let text = include_str!("../../dino-core/tests/vectors/blocks.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let vectors = &vectors["quantize"];
    let columns = vectors["columns"].as_u64().unwrap() as usize;
    let values: Vec<f32> = bytes(&vectors["values"])
        .chunks_exact(4)
        .map(|x| f32::from_le_bytes(x.try_into().unwrap()))
        .collect();

    let mut seen = vec![DType::F32];
    for format in vectors["formats"].as_array().unwrap() {
        let dtype = DType::from_name(format["dtype"].as_str().unwrap()).unwrap();
        let found = quantize(dtype, columns, &values).unwrap();
        let expected = bytes(&format["bytes"]);
        assert_eq!(found.len(), expected.len(), "{dtype}");
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let block = i / dtype.block_bytes();
            assert_eq!(found, expected, "{dtype}, block {block}, byte {i}");
        }
        seen.push(dtype);
    }
    seen.sort();
    let written: Vec<DType> = DType::ALL.into_iter().filter(|&d| can_encode(d)).collect();
    assert_eq!(seen, written, "an encoder without vectors");
}

fn bytes(hex: &Value) -> Vec<u8> {
    let pairs = hex.as_str().unwrap().as_bytes().chunks_exact(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
