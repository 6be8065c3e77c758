//! Blocks whose groups have a scale and a minimum each, small integers times two factors of the block: Q2_K, Q4_K, Q5_K.

use super::search::{Group, Line, factors, inverse, nearest_code, stored};
use std::array;

/// How often the factors and the integers of the groups are fitted to each other.
const ROUNDS: usize = 3;

/// A block of `LEN` values: `scale * scales[g] * code - min * mins[g]`.
pub(super) struct AffineBlock<const LEN: usize, const GROUPS: usize> {
    /// A multiple of an f16, as f32.
    pub(super) scale: f32,
    /// A multiple of an f16, as f32.
    pub(super) min: f32,
    pub(super) scales: [u8; GROUPS],
    pub(super) mins: [u8; GROUPS],
    pub(super) codes: [u8; LEN],
}

/// The greatest code and the greatest integer for a scale or minimum.
#[derive(Clone, Copy)]
pub(super) struct Tops {
    pub(super) code: f32,
    pub(super) factor: f32,
}

/// What the groups say of themselves.
#[derive(Clone, Copy)]
struct Factors<const GROUPS: usize> {
    scale: f32,
    min: f32,
    scales: [f32; GROUPS],
    mins: [f32; GROUPS],
}

impl<const GROUPS: usize> Factors<GROUPS> {
    fn line(&self, group: usize) -> Line {
        Line {
            scale: self.scale * self.scales[group],
            offset: -(self.min * self.mins[group]),
        }
    }
}

impl<const LEN: usize, const GROUPS: usize> AffineBlock<LEN, GROUPS> {
    /// The block nearest to `values`; groups of `N = LEN / GROUPS`.
    pub(super) fn fit<const N: usize>(
        values: &[f32; LEN],
        weights: &[f32; LEN],
        tops: Tops,
    ) -> Self {
        let mut groups = Group::<N>::all(values, weights);
        let groups: [Group<'_, N>; GROUPS] =
            array::from_fn(|_| groups.next().expect("LEN / N groups"));
        let fitted = groups.map(|group| group.line(tops.code, true));
        let weights = array::from_fn(|g| groups[g].line_weights(fitted[g], tops.code));
        let weights: [[f32; 2]; GROUPS] = weights;
        let scales = array::from_fn(|g| (fitted[g].scale, weights[g][0]));
        let mins = array::from_fn(|g| (-fitted[g].offset, weights[g][1]));
        let scales = factors::<GROUPS>(scales, tops.factor);
        let mins = factors::<GROUPS>(mins, tops.factor);
        let (mut best, mut best_error) = (None, f32::INFINITY);
        for (mut scale, mut min) in scales.into_iter().zip(mins) {
            let mut lines = fitted;
            for _ in 0..ROUNDS {
                let (factors, error) = integers(&groups, &lines, (scale, min), tops);
                if error < best_error || best.is_none() {
                    (best, best_error) = (Some(factors), error);
                }
                lines = array::from_fn(|group| factors.line(group));
                let better = refitted(&groups, &factors, tops);
                if better == (scale, min) {
                    break;
                }
                (scale, min) = better;
            }
        }
        let best = best.expect("at least one round");
        Self {
            scale: best.scale,
            min: best.min,
            scales: best.scales.map(|scale| scale as u8),
            mins: best.mins.map(|min| min as u8),
            codes: codes(values, &best, tops.code),
        }
    }
}

/// The integers of each group under the factors `(scale, min)` that lose least, near those that `lines` ask for, and
/// what they lose.
fn integers<const N: usize, const GROUPS: usize>(
    groups: &[Group<'_, N>; GROUPS],
    lines: &[Line; GROUPS],
    (scale, min): (f32, f32),
    tops: Tops,
) -> (Factors<GROUPS>, f32) {
    let mut factors = Factors {
        scale,
        min,
        scales: [0.0; GROUPS],
        mins: [0.0; GROUPS],
    };
    let mut total = 0.0;
    for (index, (group, line)) in groups.iter().zip(lines).enumerate() {
        let integer = |x: f32| nearest_code(x, 0.0, tops.factor);
        let near_scale = integer(line.scale * inverse(scale));
        let near_min = integer(-line.offset * inverse(min));
        let mut best_error = f32::INFINITY;
        for scale_step in [0.0, -1.0, 1.0] {
            for min_step in [0.0, -1.0, 1.0] {
                let (s, m) = (
                    integer(near_scale + scale_step),
                    integer(near_min + min_step),
                );
                let line = Line {
                    scale: scale * s,
                    offset: -(min * m),
                };
                let error = group.line_error(line, tops.code);
                if error < best_error {
                    best_error = error;
                    (factors.scales[index], factors.mins[index]) = (s, m);
                }
            }
        }
        total += best_error;
    }
    (factors, total)
}

/// The factors that lose least for the codes and integers at hand.
fn refitted<const N: usize, const GROUPS: usize>(
    groups: &[Group<'_, N>; GROUPS],
    factors: &Factors<GROUPS>,
    tops: Tops,
) -> (f32, f32) {
    // Normal equations of value ≈ scale · a - min · b.
    let (mut aa, mut ab, mut bb, mut ax, mut bx) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
    for (index, group) in groups.iter().enumerate() {
        let line = factors.line(index);
        let inverse = inverse(line.scale);
        let b = f64::from(factors.mins[index]);
        for (&x, &w) in group.values.iter().zip(group.weights) {
            let code = nearest_code((x - line.offset) * inverse, 0.0, tops.code);
            let a = f64::from(factors.scales[index] * code);
            let (x, w) = (f64::from(x), f64::from(w));
            aa += w * a * a;
            ab += w * a * b;
            bb += w * b * b;
            ax += w * a * x;
            bx += w * b * x;
        }
    }
    let determinant = aa * bb - ab * ab;
    let (scale, min) = if determinant > 1e-9 * aa * bb {
        (
            (ax * bb - bx * ab) / determinant,
            (ax * ab - bx * aa) / determinant,
        )
    } else if aa > 0.0 {
        ((ax / aa), 0.0)
    } else {
        (f64::from(factors.scale), f64::from(factors.min))
    };
    let keep = |new: f64, old: f32| {
        let new = stored(new as f32);
        if new > 0.0 && new.is_finite() {
            new
        } else {
            old
        }
    };
    (keep(scale, factors.scale), keep(min, factors.min))
}

fn codes<const LEN: usize, const GROUPS: usize>(
    values: &[f32; LEN],
    factors: &Factors<GROUPS>,
    top: f32,
) -> [u8; LEN] {
    array::from_fn(|i| {
        let line = factors.line(i / (LEN / GROUPS));
        nearest_code((values[i] - line.offset) * inverse(line.scale), 0.0, top) as u8
    })
}
