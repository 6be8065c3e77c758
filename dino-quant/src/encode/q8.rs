//! Q8_0: the value of largest magnitude becomes code 127 or -127. With so many codes importance changes nothing.

use super::Encode;
use super::range::magnitude;
use super::search::inverse;
use dino_core::blocks::{F16, Q8_0};
use std::array;

impl Encode<32> for Q8_0 {
    fn encode(values: &[f32; 32], _: Option<&[f32; 32]>) -> Self {
        let scale = magnitude(values) / 127.0;
        let inverse = inverse(scale);
        Self {
            scale: F16::from_f32(scale),
            codes: array::from_fn(|i| nearest(values[i] * inverse)),
        }
    }
}

/// `value`, whose magnitude is at most 127, rounded half away from zero: `f32::round`, which is a call for each
/// value on processors without an instruction for it.
fn nearest(value: f32) -> i8 {
    let whole = value as i8;
    let rest = value - f32::from(whole);
    whole
        .saturating_add(i8::from(rest >= 0.5))
        .saturating_sub(i8::from(rest <= -0.5))
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn rounds_half_away_from_zero() {
        for step in -127 * 64..=127 * 64 {
            for value in [
                step as f32 / 64.0,
                (step as f32 / 64.0).next_up(),
                (step as f32 / 64.0).next_down(),
            ] {
                assert_eq!(nearest(value), value.round() as i8, "{value}");
            }
        }
    }
}
