//! Chances of tokens from their logits, the same to the bit on every instruction set.
//!
//! One bit of an exponential can turn a draw, and a seed must give the same text everywhere. So the exponential here is
//! additions and multiplications alone, which IEEE 754 fixes (a fused multiply-add would round differently), and the sum
//! has sixteen lanes on every set: value `i` goes to lane `i mod 16`, and lanes are added in their order.

/// Lanes of the sum.
pub(crate) const LANES: usize = 16;
/// Adding it leaves the nearest integer in the low bits of the mantissa.
pub(crate) const ROUNDER: f32 = 12_582_912.0;
pub(crate) const LN_2_HIGH: f32 = 0.693_359_4;
pub(crate) const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Below, the result would be subnormal.
pub(crate) const LEAST: f32 = -87.0;
/// The Taylor polynomial of degree 7, its highest coefficient first.
pub(crate) const TAYLOR: [f32; 8] = [
    1.0 / 5040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
    1.0,
    1.0,
];

/// `e^x` for `x <= 0`, within 2e-7 relative; below -87 exactly 0. The same bits on every platform.
///
/// The range is reduced by `x = n ln 2 + r` (Cody and Waite, 1980).
#[inline]
pub fn exp_nonpositive(x: f32) -> f32 {
    let clamped = if x > LEAST { x } else { LEAST };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let r = (clamped - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut sum = TAYLOR[0];
    for coefficient in &TAYLOR[1..] {
        sum = sum * r + coefficient;
    }
    let exponent = shifted.to_bits().wrapping_sub(ROUNDER.to_bits());
    let power_of_two = f32::from_bits(exponent.wrapping_add(127) << 23);
    if x < LEAST { 0.0 } else { sum * power_of_two }
}

/// See [`crate::VectorKernels::chances`].
pub(crate) fn chances(logits: &[f32], max: f32, temperature: f32, out: &mut [f32]) -> f64 {
    let mut lanes = [0.0; LANES];
    for (logits, out) in logits.chunks(LANES).zip(out.chunks_mut(LANES)) {
        for ((logit, to), lane) in logits.iter().zip(out).zip(&mut lanes) {
            *to = exp_nonpositive((logit - max) / temperature);
            *lane += f64::from(*to);
        }
    }
    lanes.iter().fold(0.0, |sum, lane| sum + lane)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kernels;
    use crate::testing::Random;

    #[test]
    fn the_exponential_agrees_with_double_precision() {
        assert_eq!(exp_nonpositive(0.0), 1.0);
        assert_eq!(exp_nonpositive(f32::NEG_INFINITY), 0.0);
        for step in 0..=870_000 {
            let x = -(step as f32) * 1e-4;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp_nonpositive(x)) - expected).abs() / expected;
            assert!(error < 2e-7, "e^{x}: relative error {error}");
        }
    }

    #[test]
    fn every_set_gives_the_same_bits() {
        let mut random = Random::new(2);
        for count in (0..70).chain([1000, 1024]) {
            let mut logits: Vec<f32> = random.values(count).iter().map(|x| x * 60.0).collect();
            if let Some(last) = logits.last_mut() {
                *last = f32::NEG_INFINITY;
            }
            for temperature in [1.0, 0.7, 1e-30, 1e30] {
                let mut expected = vec![0.0; count];
                let sum = chances(&logits, 60.0, temperature, &mut expected);
                for kernels in Kernels::under_test().unwrap() {
                    let mut found = vec![f32::NAN; count];
                    let vector = &kernels.vector;
                    let total = vector.chances(&logits, 60.0, temperature, &mut found);
                    assert_eq!(total.to_bits(), sum.to_bits(), "{}", kernels.isa());
                    let same = found.iter().zip(&expected);
                    assert!(same.clone().all(|(a, b)| a.to_bits() == b.to_bits()));
                }
            }
        }
    }
}
