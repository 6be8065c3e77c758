//! Functions of one value, and the coefficients that the vector kernels share.

use crate::Activation;

/// `e^r = 1 + r + r²·(a₀ + a₁r + … + a₄r⁴)` for `|r| ≤ ln 2 / 2`, to 3e-9 (a minimax fit).
pub(crate) const EXP: [f32; 5] = [
    0.499_999_94,
    0.166_665_2,
    0.041_668_4,
    0.008_368_852,
    0.001_381_432,
];

/// ln 2 in two parts, the first with few bits, so that small multiples of it are exact.
pub(crate) const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// `tanh x = x + x³·(a₀ + a₁x² + … + a₄x⁸)` for `|x| ≤ 0.625`, to 5e-9 (a minimax fit).
pub(crate) const TANH: [f32; 5] = [
    -0.333_332_8,
    0.133_314_42,
    -0.053_739_697,
    0.020_639_023,
    -0.005_704_911,
];

/// `erfc x = t·(a₀ + a₁t + … + a₄t⁴)·exp(−x²)` with `t = 1 / (1 + ERFC_P·x)` for `x ≥ 0`, to 1.5e-7:
/// formula 7.1.26 of Abramowitz and Stegun, "Handbook of Mathematical Functions".
pub(crate) const ERFC: [f32; 5] = [
    0.254_829_6,
    -0.284_496_74,
    1.421_413_8,
    -1.453_152,
    1.061_405_4,
];
/// See [`ERFC`].
pub(crate) const ERFC_P: f32 = 0.327_591_1;

/// Twice the factors of the tanh formula of GELU: `Φ(x) ≈ sigmoid(GELU·(x + GELU_CUBE·x³))`.
pub(crate) const GELU: f32 = 1.595_769;
/// See [`GELU`].
pub(crate) const GELU_CUBE: f32 = 0.044_715;

/// `activation(x)`.
pub(crate) fn activation(x: f32, activation: Activation) -> f32 {
    match activation {
        Activation::Silu => x * sigmoid(x),
        Activation::GeluTanh => x * sigmoid(GELU * (x + GELU_CUBE * x * x * x)),
        Activation::GeluErf => x * normal(x),
        Activation::Relu => x.max(0.0),
        Activation::ReluSquared => x.max(0.0) * x.max(0.0),
    }
}

/// `1 / (1 + e^−x)`.
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Φ, the probability that a standard normal variable is below `x`.
fn normal(x: f32) -> f32 {
    let y = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + ERFC_P * y);
    let upper = 0.5 * t * ERFC.iter().rev().fold(0.0, |sum, a| sum * t + a) * (-y * y).exp();
    if x < 0.0 { upper } else { 1.0 - upper }
}
