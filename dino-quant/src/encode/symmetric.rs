//! Blocks whose groups have a scale each, a small integer times the block's: Q3_K, Q6_K, IQ4_XS.

use super::search::{Group, Levels, factors, inverse, nearest_code, stored};
use std::array;

/// How often the block's scale and the integers of the groups are fitted to each other.
const ROUNDS: usize = 3;

/// A block of `LEN` values `scale * scales[g] * level`.
pub(super) struct SymmetricBlock<const LEN: usize, const GROUPS: usize> {
    /// An f16, as f32.
    pub(super) scale: f32,
    pub(super) scales: [i8; GROUPS],
    pub(super) levels: [i8; LEN],
}

impl<const LEN: usize, const GROUPS: usize> SymmetricBlock<LEN, GROUPS> {
    /// The block nearest to `values`; groups of `N = LEN / GROUPS`, whose integers are those of `least..-least`.
    pub(super) fn fit<L: Levels, const N: usize>(
        values: &[f32; LEN],
        weights: &[f32; LEN],
        least: f32,
    ) -> Self {
        let mut groups = Group::<N>::all(values, weights);
        let groups: [Group<'_, N>; GROUPS] =
            array::from_fn(|_| groups.next().expect("LEN / N groups"));
        let fitted = groups.map(|group| group.scale::<L>());
        let weighed = array::from_fn(|g| (fitted[g], groups[g].scale_weight::<L>(fitted[g])));
        let (mut best, mut best_error) = ((0.0, [0.0; GROUPS]), f32::INFINITY);
        for mut scale in factors::<GROUPS>(weighed, least) {
            let mut wanted = fitted;
            for _ in 0..ROUNDS {
                let (scales, error) = integers::<L, N, GROUPS>(&groups, &wanted, scale, least);
                // The first one is taken in any case: what is not finite is found in it.
                if error < best_error || best.0 == 0.0 {
                    (best, best_error) = ((scale, scales), error);
                }
                wanted = scales.map(|integer| integer * scale);
                let better = refitted::<L, N, GROUPS>(&groups, (scale, &scales));
                if better == scale {
                    break;
                }
                scale = better;
            }
        }
        let (scale, scales) = best;
        let level = |i: usize| {
            let of_group = scale * scales[i / (LEN / GROUPS)];
            L::nearest(values[i] * inverse(of_group)) as i8
        };
        Self {
            scale,
            scales: scales.map(|integer| integer as i8),
            levels: array::from_fn(level),
        }
    }
}

/// The integers of the groups under `scale` that lose least, near those that `wanted` asks for, and what they lose.
fn integers<L: Levels, const N: usize, const GROUPS: usize>(
    groups: &[Group<'_, N>; GROUPS],
    wanted: &[f32; GROUPS],
    scale: f32,
    least: f32,
) -> ([f32; GROUPS], f32) {
    let mut scales = [0.0; GROUPS];
    let mut total = 0.0;
    for ((group, wanted), best) in groups.iter().zip(wanted).zip(&mut scales) {
        let integer = |x: f32| nearest_code(x, least, -least - 1.0);
        let near = integer(wanted * inverse(scale));
        let mut best_error = f32::INFINITY;
        for step in [0.0, -1.0, 1.0] {
            let candidate = integer(near + step);
            let error = group.error::<L>(scale * candidate);
            if error < best_error {
                (*best, best_error) = (candidate, error);
            }
        }
        total += best_error;
    }
    (scales, total)
}

/// The scale of the block that loses least for the levels and integers at hand.
fn refitted<L: Levels, const N: usize, const GROUPS: usize>(
    groups: &[Group<'_, N>; GROUPS],
    (scale, scales): (f32, &[f32; GROUPS]),
) -> f32 {
    let (mut product, mut square) = (0.0_f64, 0.0_f64);
    for (group, integer) in groups.iter().zip(scales) {
        let inverse = inverse(scale * integer);
        for (&x, &w) in group.values.iter().zip(group.weights) {
            let unit = f64::from(integer * L::nearest(x * inverse));
            let (x, w) = (f64::from(x), f64::from(w));
            product += w * unit * x;
            square += w * unit * unit;
        }
    }
    let better = stored((product / square) as f32);
    if better.is_finite() && better != 0.0 {
        better
    } else {
        scale
    }
}
