//! What a block needs to know of its values.

/// The value of largest magnitude, with its sign; the first of equals.
pub(super) fn extreme(values: &[f32]) -> f32 {
    values.iter().fold(
        0.0,
        |extreme: f32, &x| if x.abs() > extreme.abs() { x } else { extreme },
    )
}

/// The least and the greatest value.
pub(super) fn bounds(values: &[f32]) -> (f32, f32) {
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
