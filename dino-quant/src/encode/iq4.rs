//! IQ4_NL and IQ4_XS: indices of a codebook.

use super::Encode;
use super::planes::pack;
use super::range::weights;
use super::search::{Group, Iq4, Levels, inverse, stored};
use super::symmetric::SymmetricBlock;
use dino_core::blocks::{F16, IQ4_NL, IQ4_VALUES, IQ4_XS};
use std::array;

impl Encode<32> for IQ4_NL {
    fn encode(values: &[f32; 32], importance: Option<&[f32; 32]>) -> Self {
        let weights = weights(importance);
        let group = Group {
            values,
            weights: &weights,
        };
        let scale = stored(group.scale::<Iq4>());
        let inverse = inverse(scale);
        let indices = values.map(|x| index(Iq4::nearest(x * inverse) as i8));
        Self {
            scale: F16::from_f32(scale),
            indices: pack::<4, 16, 16>(&indices),
        }
    }
}

impl Encode<256> for IQ4_XS {
    fn encode(values: &[f32; 256], importance: Option<&[f32; 256]>) -> Self {
        let block = SymmetricBlock::<256, 8>::fit::<Iq4, 32>(values, &weights(importance), -32.0);
        let scales = block.scales.map(|scale| (scale + 32) as u8);
        let high = (0..8).map(|g| u16::from(scales[g] >> 4) << (2 * g));
        let high: u16 = high.fold(0, |all, bits| all | bits);
        Self {
            scale: F16::from_f32(block.scale),
            scales_high: high.to_le_bytes(),
            scales_low: array::from_fn(|b| scales[2 * b] & 15 | scales[2 * b + 1] << 4),
            indices: pack::<4, 16, 128>(&block.levels.map(index)),
        }
    }
}

/// The index of a value of the codebook.
fn index(value: i8) -> u8 {
    IQ4_VALUES.partition_point(|&other| other < value) as u8
}
