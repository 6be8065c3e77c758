//! Blocks of one scale, or of one scale and one minimum: by the rounding of reference, or searched.
//!
//! The reference rounds as ggml does: the scale that turns values into codes is the f32 one, although the block stores
//! it rounded to f16.

use super::range::{bounds, extreme, weights};
use super::search::{Group, Levels, Line, Run, inverse, nearest_code, stored};

/// Scale and codes, raised to be no less than 0, of values `scale * code` with codes from `LEAST` to `GREATEST`.
pub(super) fn scale_and_codes<const LEAST: i32, const GREATEST: i32>(
    values: &[f32; 32],
    importance: Option<&[f32; 32]>,
) -> (f32, [u8; 32]) {
    if importance.is_none() {
        let scale = extreme(values) / LEAST as f32;
        let inverse = inverse(scale);
        // 0.5 turns the truncation of `as` into rounding.
        let (raised, top) = (0.5 - LEAST as f32, (GREATEST - LEAST) as u8);
        return (
            scale,
            values.map(|x| ((x * inverse + raised) as u8).min(top)),
        );
    }
    let weights = weights(importance);
    let group = Group {
        values,
        weights: &weights,
    };
    let scale = stored(group.scale::<Run<LEAST, GREATEST>>());
    let inverse = inverse(scale);
    let code = |x: f32| Run::<LEAST, GREATEST>::nearest(x * inverse) - LEAST as f32;
    (scale, values.map(|x| code(x) as u8))
}

/// Line and codes of values `scale * code + offset` with codes from 0 to `top`.
pub(super) fn line_and_codes(
    values: &[f32; 32],
    importance: Option<&[f32; 32]>,
    top: f32,
) -> (Line, [u8; 32]) {
    if importance.is_none() {
        let (offset, greatest) = bounds(values);
        let scale = (greatest - offset) / top;
        let inverse = inverse(scale);
        let code = |x: f32| (((x - offset) * inverse + 0.5) as u8).min(top as u8);
        return (Line { scale, offset }, values.map(code));
    }
    let weights = weights(importance);
    let group = Group {
        values,
        weights: &weights,
    };
    let line = rounded(&group, group.line(top, false), top);
    let inverse = inverse(line.scale);
    let code = |x: f32| nearest_code((x - line.offset) * inverse, 0.0, top) as u8;
    (line, values.map(code))
}

/// The line of f16 numbers that loses least near `line`: rounding one of both moves what suits the other.
fn rounded(group: &Group<'_, 32>, line: Line, top: f32) -> Line {
    let scale = stored(line.scale);
    // A neighbour of an f16 is this far away, or half of it.
    let step = scale * (1.0 / 1024.0);
    let (mut best, mut best_error) = (Line::default(), f32::INFINITY);
    for scale in [scale, stored(scale - step), stored(scale + step)] {
        let fitting = group.mean_miss(Line { scale, ..line }, top);
        for offset in [line.offset, fitting] {
            let line = Line {
                scale,
                offset: stored(offset),
            };
            let error = group.line_error(line, top);
            // The first one is taken in any case: what is not finite is found in it.
            if error < best_error || best == Line::default() {
                (best, best_error) = (line, error);
            }
        }
    }
    best
}
