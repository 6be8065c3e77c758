//! The block formats against the PyPI package `gguf` (vectors made by `tools/vectors_blocks.py`), to the bit.

use dino_core::{DType, blocks};
use serde_json::Value;

#[test]
fn every_format_means_what_gguf_says() {
    let vectors: Value = serde_json::from_str(include_str!("vectors/blocks.json")).unwrap();
    let mut seen = vec![DType::F32];
    for entry in vectors["dequantize"].as_array().unwrap() {
        let dtype = DType::from_name(entry["dtype"].as_str().unwrap()).unwrap();
        let expected = floats(&entry["values"]);
        let found = dequantized(dtype, &bytes(&entry["bytes"]));
        assert_eq!(found.len(), expected.len(), "{dtype}");
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let same = found.to_bits() == expected.to_bits();
            assert!(same, "{dtype}, value {i}: {found:e}, gguf has {expected:e}");
        }
        seen.push(dtype);
    }
    seen.sort();
    assert_eq!(seen, DType::ALL, "a format without vectors");
}

#[test]
fn f32_is_itself() {
    let values = [
        0.0,
        -0.0,
        1.5,
        f32::MIN_POSITIVE / 2.0,
        f32::MAX,
        f32::INFINITY,
    ];
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let found = dequantized(DType::F32, &bytes);
    assert_eq!(found.map_bits(), values.map_bits());
}

/// The least subnormal half, the greatest subnormal one, zeros of both signs and the greatest half.
#[test]
fn halves_keep_their_edges() {
    let halves = [0x0001_u16, 0x83ff, 0x0000, 0x8000, 0x7bff, 0xfbff, 0x7c00];
    let expected = [
        2.0_f32.powi(-24),
        -1023.0 * 2.0_f32.powi(-24),
        0.0,
        -0.0,
        65504.0,
        -65504.0,
        f32::INFINITY,
    ];
    let bytes: Vec<u8> = halves.iter().flat_map(|x| x.to_le_bytes()).collect();
    let found = dequantized(DType::F16, &bytes);
    assert_eq!(found.map_bits(), expected.map_bits());
}

#[test]
fn a_scale_at_the_edge_is_multiplied_exactly() {
    for (scale, worth) in [
        (0x0001_u16, 2.0_f32.powi(-24)),
        (0x8001, -(2.0_f32.powi(-24))),
        (0x8000, -0.0),
        (0x7bff, 65504.0),
    ] {
        // Codes 1, 0, -1, -128, then zeros.
        let mut block = [0_u8; 34];
        block[..2].copy_from_slice(&scale.to_le_bytes());
        block[2..6].copy_from_slice(&[1, 0, 0xff, 0x80]);
        let found = dequantized(DType::Q8_0, &block);
        let expected = [worth, worth * 0.0, -worth, worth * -128.0];
        assert_eq!(found[..4].map_bits(), expected.map_bits());
    }
}

#[test]
fn the_greatest_block_is_the_greatest_product() {
    let largest = 65504.0_f32;
    // (format, its bytes all ones but for the scales given, the last value)
    let mut q6 = [0xff_u8; 210];
    q6[192..208].fill(127);
    q6[208..].copy_from_slice(&0x7bff_u16.to_le_bytes());
    assert_eq!(dequantized(DType::Q6_K, &q6)[255], largest * 127.0 * 31.0);

    let mut q4 = [0xff_u8; 144];
    q4[..2].copy_from_slice(&0x7bff_u16.to_le_bytes());
    q4[2..4].copy_from_slice(&0xfbff_u16.to_le_bytes());
    let expected = largest * 63.0 * 15.0 + largest * 63.0;
    assert_eq!(dequantized(DType::Q4_K, &q4)[255], expected);

    // ggml reads the exponent that stands for NaN in the specification as a power of two.
    let mxfp4 = [0xff_u8; 17];
    assert_eq!(dequantized(DType::MXFP4, &mxfp4)[31], f32::NEG_INFINITY);
}

#[test]
#[should_panic(expected = "35 bytes are not a whole number of Q8_0 blocks")]
fn part_of_a_block_is_a_callers_mistake() {
    blocks::dequantize(DType::Q8_0, &[0; 35], &mut [0.0; 32]);
}

#[test]
#[should_panic(expected = "34 bytes of Q8_0 do not hold 64 values")]
fn too_few_blocks_are_a_callers_mistake() {
    blocks::dequantize(DType::Q8_0, &[0; 34], &mut [0.0; 64]);
}

fn dequantized(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; bytes.len() / dtype.block_bytes() * dtype.block_len()];
    blocks::dequantize(dtype, bytes, &mut values);
    values
}

/// Bits, so that -0 differs from 0 and a NaN equals itself.
trait MapBits {
    fn map_bits(&self) -> Vec<u32>;
}

impl MapBits for [f32] {
    fn map_bits(&self) -> Vec<u32> {
        self.iter().map(|x| x.to_bits()).collect()
    }
}

fn bytes(hex: &Value) -> Vec<u8> {
    let pairs = hex.as_str().unwrap().as_bytes().chunks_exact(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn floats(hex: &Value) -> Vec<f32> {
    bytemuck::pod_collect_to_vec(&bytes(hex))
}
