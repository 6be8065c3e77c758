//! What a block needs to know of its values.

/// What an error in each value costs: its importance, or 1.
///
/// What nothing was seen of may still matter a little: no weight is less than a millionth of their mean.
pub(super) fn weights<const N: usize>(importance: Option<&[f32; N]>) -> [f32; N] {
    let Some(importance) = importance else {
        return [1.0; N];
    };
    let mean = importance.iter().sum::<f32>() / N as f32;
    if !(mean.is_finite() && mean > 0.0) {
        return [1.0; N];
    }
    // Relative to the mean, so that no square leaves the range of f32.
    importance.map(|x| (x / mean).max(1e-6))
}

/// The largest magnitude.
pub(super) fn magnitude<const N: usize>(values: &[f32; N]) -> f32 {
    // Without their sign, the bits of floats are ordered as the floats are, and integers compare in any order.
    let bits = values.map(|x| x.abs().to_bits());
    f32::from_bits(bits.into_iter().fold(0, u32::max))
}

/// The value of largest magnitude, with its sign; the first of equals, and 0 of zeros.
pub(super) fn extreme<const N: usize>(values: &[f32; N]) -> f32 {
    let magnitude = magnitude(values);
    if magnitude == 0.0 {
        return 0.0;
    }
    let first = values.iter().find(|x| x.abs() == magnitude);
    first.copied().unwrap_or(magnitude)
}

/// The least and the greatest value.
pub(super) fn bounds<const N: usize>(values: &[f32; N]) -> (f32, f32) {
    values
        .iter()
        .fold((f32::MAX, f32::MIN), |(least, greatest), &x| {
            (
                if x < least { x } else { least },
                if x > greatest { x } else { greatest },
            )
        })
}
