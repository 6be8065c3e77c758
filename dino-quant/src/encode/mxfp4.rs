//! MXFP4: floats of 4 bits under a power of two.

use super::Encode;
use super::planes::pack;
use super::range::{magnitude, weights};
use super::search::{E2m1, Group, Levels};
use dino_core::blocks::{MXFP4, MXFP4_VALUES, e8m0_to_f32};

impl Encode<32> for MXFP4 {
    fn encode(values: &[f32; 32], importance: Option<&[f32; 32]>) -> Self {
        let standard = standard_exponent(magnitude(values));
        let exponent = match importance {
            None => standard,
            Some(_) => {
                let weights = weights(importance);
                let group = Group {
                    values,
                    weights: &weights,
                };
                let error = |exponent: u8| group.error::<E2m1>(e8m0_to_f32(exponent));
                let near = [
                    standard,
                    standard.saturating_sub(1),
                    standard.saturating_add(1),
                ];
                let least = near
                    .into_iter()
                    .min_by(|&a, &b| error(a).total_cmp(&error(b)));
                least.unwrap_or(standard)
            }
        };
        let scale = e8m0_to_f32(exponent);
        let indices = values.map(|x| index(E2m1::nearest(x / scale)));
        Self {
            exponent,
            indices: pack::<4, 16, 16>(&indices),
        }
    }
}

/// That of the Microscaling specification: the greatest magnitude's, less the 2 of the greatest E2M1.
fn standard_exponent(magnitude: f32) -> u8 {
    if magnitude == 0.0 {
        return 0;
    }
    // Saturating: what is below 2^-125 has the least exponent.
    (magnitude.log2().floor() + (127.0 - 2.0)) as u8
}

/// The index of a level; 0 for both zeros.
fn index(level: f32) -> u8 {
    let same = |&value: &i8| f32::from(value) == level;
    MXFP4_VALUES.iter().position(same).unwrap_or(0) as u8
}
