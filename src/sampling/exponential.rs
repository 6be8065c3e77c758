//! An exponential that gives the same bits on every platform.
//!
//! `f32::exp` calls the platform's mathematics library, whose last bit differs between systems; one such bit can turn a
//! draw. This one is additions and multiplications only, which IEEE 754 fixes, and the compiler vectorises it.

/// `e^x` for `x <= 0`, within 2e-7 relative; below -87, where the result would be subnormal, exactly 0.
///
/// The range is reduced by `x = n ln 2 + r` (Cody and Waite, 1980), `e^r` is the Taylor polynomial of degree 7.
#[inline]
pub(super) fn exp_nonpositive(x: f32) -> f32 {
    /// Adding it leaves the nearest integer in the low bits of the mantissa.
    const ROUNDER: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;

    let clamped = x.max(-87.0);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let r = (clamped - n * LN_2_HIGH) - n * LN_2_LOW;

    let mut sum = 1.0 / 5040.0;
    for coefficient in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        sum = sum * r + coefficient;
    }
    let exponent = shifted.to_bits().wrapping_sub(ROUNDER.to_bits());
    let power_of_two = f32::from_bits(exponent.wrapping_add(127) << 23);
    if x < -87.0 { 0.0 } else { sum * power_of_two }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_double_precision() {
        assert_eq!(exp_nonpositive(0.0), 1.0);
        assert_eq!(exp_nonpositive(f32::NEG_INFINITY), 0.0);
        for step in 0..=870_000 {
            let x = -(step as f32) * 1e-4;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp_nonpositive(x)) - expected).abs() / expected;
            assert!(error < 2e-7, "e^{x}: relative error {error}");
        }
    }
}
