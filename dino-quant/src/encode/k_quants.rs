//! Q2_K to Q6_K: 256 values, groups of 16 or 32 with small integers for scales.

use super::Encode;
use super::affine::{AffineBlock, Tops};
use super::planes::{pack, upper};
use super::range::weights;
use super::search::Run;
use super::symmetric::SymmetricBlock;
use dino_core::blocks::{F16, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, SixBitPairs};
use std::array;

impl Encode<256> for Q2_K {
    fn encode(values: &[f32; 256], importance: Option<&[f32; 256]>) -> Self {
        let tops = Tops {
            code: 3.0,
            factor: 15.0,
        };
        let block = AffineBlock::<256, 16>::fit::<16>(values, &weights(importance), tops);
        Self {
            scales: array::from_fn(|g| block.scales[g] | block.mins[g] << 4),
            codes: pack::<2, 32, 64>(&block.codes),
            scale: F16::from_f32(block.scale),
            min: F16::from_f32(block.min),
        }
    }
}

impl Encode<256> for Q3_K {
    fn encode(values: &[f32; 256], importance: Option<&[f32; 256]>) -> Self {
        let block =
            SymmetricBlock::<256, 16>::fit::<Run<-4, 3>, 16>(values, &weights(importance), -32.0);
        let codes = block.levels.map(|level| (level + 4) as u8);
        Self {
            high: pack::<1, 32, 32>(&upper(&codes, 2)),
            low: pack::<2, 32, 64>(&codes),
            scales: six_bit_scales(block.scales.map(|scale| (scale + 32) as u8)),
            scale: F16::from_f32(block.scale),
        }
    }
}

/// The drawing at [`Q3_K`].
fn six_bit_scales(scales: [u8; 16]) -> [u8; 12] {
    array::from_fn(|byte| {
        if byte < 8 {
            return scales[byte] & 15 | (scales[byte + 8] & 15) << 4;
        }
        let quarters = (0..4).map(|quarter| scales[byte - 8 + 4 * quarter] >> 4 << (2 * quarter));
        quarters.fold(0, |byte, bits| byte | bits)
    })
}

impl Encode<256> for Q4_K {
    fn encode(values: &[f32; 256], importance: Option<&[f32; 256]>) -> Self {
        let tops = Tops {
            code: 15.0,
            factor: 63.0,
        };
        let block = AffineBlock::<256, 8>::fit::<32>(values, &weights(importance), tops);
        Self {
            scale: F16::from_f32(block.scale),
            min: F16::from_f32(block.min),
            scales: six_bit_pairs(&block.scales, &block.mins),
            codes: pack::<4, 32, 128>(&block.codes),
        }
    }
}

impl Encode<256> for Q5_K {
    fn encode(values: &[f32; 256], importance: Option<&[f32; 256]>) -> Self {
        let tops = Tops {
            code: 31.0,
            factor: 63.0,
        };
        let block = AffineBlock::<256, 8>::fit::<32>(values, &weights(importance), tops);
        Self {
            scale: F16::from_f32(block.scale),
            min: F16::from_f32(block.min),
            scales: six_bit_pairs(&block.scales, &block.mins),
            high: pack::<1, 32, 32>(&upper(&block.codes, 4)),
            low: pack::<4, 32, 128>(&block.codes),
        }
    }
}

/// The drawing at [`SixBitPairs`].
fn six_bit_pairs(scales: &[u8; 8], mins: &[u8; 8]) -> SixBitPairs {
    SixBitPairs(array::from_fn(|byte| match byte {
        0..4 => scales[byte] | scales[byte + 4] >> 4 << 6,
        4..8 => mins[byte - 4] | mins[byte] >> 4 << 6,
        _ => scales[byte - 4] & 15 | mins[byte - 4] << 4,
    }))
}

impl Encode<256> for Q6_K {
    fn encode(values: &[f32; 256], importance: Option<&[f32; 256]>) -> Self {
        let block = SymmetricBlock::<256, 16>::fit::<Run<-32, 31>, 16>(
            values,
            &weights(importance),
            -128.0,
        );
        let codes = block.levels.map(|level| (level + 32) as u8);
        Self {
            low: pack::<4, 64, 128>(&codes),
            high: pack::<2, 32, 64>(&upper(&codes, 4)),
            scales: block.scales,
            scale: F16::from_f32(block.scale),
        }
    }
}
