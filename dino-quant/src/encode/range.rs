//! What a block needs to know of its values.

/// The largest magnitude.
pub(super) fn magnitude(values: &[f32; 32]) -> f32 {
    // Without their sign, the bits of floats are ordered as the floats are, and integers compare in any order.
    let bits = values.map(|x| x.abs().to_bits());
    f32::from_bits(bits.into_iter().fold(0, u32::max))
}

/// The value of largest magnitude, with its sign; the first of equals, and 0 of zeros.
pub(super) fn extreme(values: &[f32; 32]) -> f32 {
    let magnitude = magnitude(values);
    if magnitude == 0.0 {
        return 0.0;
    }
    let first = values.iter().find(|x| x.abs() == magnitude);
    first.copied().unwrap_or(magnitude)
}

/// The least and the greatest value.
pub(super) fn bounds(values: &[f32; 32]) -> (f32, f32) {
    values
        .iter()
        .fold((f32::MAX, f32::MIN), |(least, greatest), &x| {
            (
                if x < least { x } else { least },
                if x > greatest { x } else { greatest },
            )
        })
}

/// `1 / scale`, but 0 for a block without extent.
pub(super) fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}
