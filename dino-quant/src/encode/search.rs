//! The search for the scale of a group, or its scale and offset.
//!
//! If the codes were known, the best scale would follow by least squares; if the scale were known, the best codes
//! would be the nearest ones. So a range of scales is tried, each improved by the scale that its codes ask for, and the
//! best one is polished by going back and forth until nothing moves.

use super::range::{bounds, extreme};
use dino_core::blocks::{F16, IQ4_VALUES, MXFP4_VALUES};

/// Below this, no f16 scale can tell values from zero.
const NOTHING: f32 = 1e-20;
/// Above this, no format has a scale, and sums of squares could leave the range of f32.
const TOO_MUCH: f32 = 1e12;
/// How often the best scale is polished at most.
const POLISH: usize = 6;

/// What a value may be, in units of the scale.
pub(super) trait Levels {
    /// The level of greatest negative and of greatest positive magnitude.
    const ENDS: [f32; 2];
    /// The level nearest to `x`.
    fn nearest(x: f32) -> f32;
}

/// All integers from `LEAST` to `GREATEST`.
pub(super) struct Run<const LEAST: i32, const GREATEST: i32>;

impl<const LEAST: i32, const GREATEST: i32> Levels for Run<LEAST, GREATEST> {
    const ENDS: [f32; 2] = [LEAST as f32, GREATEST as f32];

    #[inline]
    fn nearest(x: f32) -> f32 {
        nearest_code(x, LEAST as f32, GREATEST as f32)
    }
}

/// The codebook of IQ4_NL and IQ4_XS.
pub(super) struct Iq4;

/// The level nearest to each interval of half a step, from -128 up: no midpoint of two levels lies inside one.
static IQ4_NEAREST: [f32; 512] = {
    let mut table = [0.0; 512];
    let (mut index, mut level) = (0, 0);
    while index < 512 {
        // Four times the middle of the interval, and twice four times the midpoint to the next level.
        let middle = 2 * (index as i32 - 256) + 1;
        while level < 15 && middle > 2 * (IQ4_VALUES[level] as i32 + IQ4_VALUES[level + 1] as i32) {
            level += 1;
        }
        table[index] = IQ4_VALUES[level] as f32;
        index += 1;
    }
    table
};

impl Levels for Iq4 {
    const ENDS: [f32; 2] = [IQ4_VALUES[0] as f32, IQ4_VALUES[15] as f32];

    #[inline]
    fn nearest(x: f32) -> f32 {
        // A cast saturates: what lies below the table is at its first place, NaN too.
        let index = (2.0 * x + 256.0) as usize;
        IQ4_NEAREST[index.min(511)]
    }
}

/// The values of MXFP4, doubled.
pub(super) struct E2m1;

impl Levels for E2m1 {
    const ENDS: [f32; 2] = [MXFP4_VALUES[15] as f32, MXFP4_VALUES[7] as f32];

    #[inline]
    fn nearest(x: f32) -> f32 {
        let magnitude = x.abs();
        let level = MXFP4_VALUES[..8]
            .windows(2)
            // Between two equally near ones, ggml takes the one of less magnitude.
            .rfind(|pair| magnitude > 0.5 * (f32::from(pair[0]) + f32::from(pair[1])))
            .map_or(0.0, |pair| f32::from(pair[1]));
        level.copysign(x)
    }
}

/// The integer nearest to `x`, not beyond `least` and `greatest`.
#[inline]
pub(super) fn nearest_code(x: f32, least: f32, greatest: f32) -> f32 {
    // Added to this, an f32 has no room for a fraction: rounding that any processor does for many values at once.
    const WHOLE: f32 = 12_582_912.0;
    let x = if x > least { x } else { least };
    let x = if x < greatest { x } else { greatest };
    (x + WHOLE) - WHOLE
}

/// `value` as an f16 that is no zero unless it is: what is stored, as f32.
pub(super) fn stored(value: f32) -> f32 {
    let rounded = F16::from_f32(value).to_f32();
    if rounded == 0.0 && value.abs() > NOTHING {
        return F16([1, 0]).to_f32().copysign(value);
    }
    rounded
}

/// `1 / scale`, but 0 for 0.
pub(super) fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// Values and what an error in each costs. `N` is a multiple of 8.
#[derive(Clone, Copy)]
pub(super) struct Group<'a, const N: usize> {
    pub(super) values: &'a [f32; N],
    pub(super) weights: &'a [f32; N],
}

impl<'a, const N: usize> Group<'a, N> {
    /// The groups of a block.
    pub(super) fn all(values: &'a [f32], weights: &'a [f32]) -> impl Iterator<Item = Self> {
        let groups = values.as_chunks().0.iter().zip(weights.as_chunks().0);
        groups.map(|(values, weights)| Self { values, weights })
    }

    /// Sums over all values of what `terms` makes of each value and weight, eight lanes apart, so that the order is
    /// fixed and registers are used.
    #[inline]
    fn sums<const T: usize>(&self, terms: impl Fn(f32, f32) -> [f32; T]) -> [f32; T] {
        let mut lanes = [[0.0; 8]; T];
        let values = self.values.as_chunks::<8>().0.iter();
        for (values, weights) in values.zip(self.weights.as_chunks::<8>().0) {
            for lane in 0..8 {
                let terms = terms(values[lane], weights[lane]);
                for (sums, term) in lanes.iter_mut().zip(terms) {
                    sums[lane] += term;
                }
            }
        }
        lanes.map(|[a, b, c, d, e, f, g, h]| ((a + e) + (c + g)) + ((b + f) + (d + h)))
    }

    /// The weighted squared error under `scale * level`.
    #[inline]
    pub(super) fn error<L: Levels>(&self, scale: f32) -> f32 {
        let inverse = inverse(scale);
        let [error] = self.sums(|x, w| {
            let miss = x - scale * L::nearest(x * inverse);
            [w * miss * miss]
        });
        error
    }

    /// The scale under which the levels lose least; it may be negative.
    pub(super) fn scale<L: Levels>(&self) -> f32 {
        let extreme = extreme(self.values);
        if extreme.is_nan() || extreme.abs() < NOTHING {
            return 0.0;
        }
        if extreme.abs() > TOO_MUCH {
            return extreme / L::ENDS[0];
        }
        let mut found = Best::new();
        for end in L::ENDS {
            for inverse in inverses(end) {
                found.offer(self.improved::<L>(inverse / extreme));
            }
        }
        found.polished(|scale| self.improved::<L>(inverse(scale)))
    }

    /// What being off the best scale costs: its square times this.
    pub(super) fn scale_weight<L: Levels>(&self, scale: f32) -> f32 {
        let inverse = inverse(scale);
        let [square] = self.sums(|x, w| {
            let level = L::nearest(x * inverse);
            [w * level * level]
        });
        square
    }

    /// What being off the best scale and the best offset costs: their squares times these.
    pub(super) fn line_weights(&self, line: Line, top: f32) -> [f32; 2] {
        let inverse = inverse(line.scale);
        self.sums(|x, w| {
            let code = nearest_code((x - line.offset) * inverse, 0.0, top);
            [w * code * code, w]
        })
    }

    /// The best scale for the levels that `values * inverse` has, and how much it takes off the error of zero.
    fn improved<L: Levels>(&self, inverse: f32) -> (f32, f32) {
        let [product, square] = self.sums(|x, w| {
            let level = L::nearest(x * inverse);
            [w * x * level, w * level * level]
        });
        if square > 0.0 {
            (product / square, product * (product / square))
        } else {
            (0.0, 0.0)
        }
    }

    /// The weighted squared error under `scale * code + offset`, codes from 0 to `top`.
    #[inline]
    pub(super) fn line_error(&self, line: Line, top: f32) -> f32 {
        let inverse = inverse(line.scale);
        let [error] = self.sums(|x, w| {
            let code = nearest_code((x - line.offset) * inverse, 0.0, top);
            let miss = x - (line.scale * code + line.offset);
            [w * miss * miss]
        });
        error
    }

    /// The mean of what the codes of `line` leave of the values, its offset included.
    pub(super) fn mean_miss(&self, line: Line, top: f32) -> f32 {
        let inverse = inverse(line.scale);
        let [miss, weights] = self.sums(|x, w| {
            let code = nearest_code((x - line.offset) * inverse, 0.0, top);
            [w * (x - line.scale * code), w]
        });
        miss / weights
    }

    /// The line under whose codes, from 0 to `top`, the values lose least. `lowered`: its offset must not be positive.
    pub(super) fn line(&self, top: f32, lowered: bool) -> Line {
        let (least, greatest) = bounds(self.values);
        let least = if lowered && least > 0.0 { 0.0 } else { least };
        let range = greatest - least;
        if range.is_nan() || range < NOTHING {
            return Line {
                scale: 0.0,
                offset: least,
            };
        }
        if range > TOO_MUCH || least < -TOO_MUCH {
            return Line {
                scale: range / top,
                offset: least,
            };
        }
        let [weights, values] = self.sums(|x, w| [w, w * x]);
        let fixed = Fixed {
            weights,
            values,
            top,
            lowered,
        };
        let mut found = Best::new();
        for (clipped, least_step, greatest_step) in [(0.0, -18, 24), (0.08, -4, 12), (0.16, -4, 12)]
        {
            let offset = least + clipped * range;
            for step in least_step..=greatest_step {
                let inverse = (top + 0.05 * step as f32) / (range * (1.0 - clipped));
                found.offer(self.improved_line(&fixed, inverse, offset));
            }
        }
        found.polished(|line| self.improved_line(&fixed, inverse(line.scale), line.offset))
    }

    /// The best line for the codes of `(values - offset) * inverse`, and how much it takes off the error of zero.
    fn improved_line(&self, fixed: &Fixed, inverse: f32, offset: f32) -> (Line, f32) {
        let [sum, square, product] = self.sums(|x, w| {
            let code = nearest_code((x - offset) * inverse, 0.0, fixed.top);
            [w * code, w * code * code, w * code * x]
        });
        // Differences of near equals follow.
        let [sum, square, product] = [sum, square, product].map(f64::from);
        let (weights, values) = (f64::from(fixed.weights), f64::from(fixed.values));
        let determinant = weights * square - sum * sum;
        let (mut scale, mut offset) = (0.0, values / weights);
        if determinant > 1e-6 * weights * square {
            scale = (weights * product - sum * values) / determinant;
            offset = (square * values - sum * product) / determinant;
        }
        if fixed.lowered && offset > 0.0 {
            offset = 0.0;
            scale = if square > 0.0 { product / square } else { 0.0 };
        }
        let gain = scale * product + offset * values;
        let (scale, offset) = (scale as f32, offset as f32);
        (Line { scale, offset }, gain as f32)
    }
}

/// Values `scale * code + offset`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Line {
    pub(super) scale: f32,
    pub(super) offset: f32,
}

/// What does not change while a line is searched.
struct Fixed {
    /// Σ weight.
    weights: f32,
    /// Σ weight · value.
    values: f32,
    top: f32,
    lowered: bool,
}

/// Two factors whose multiples by integers up to `top` (a negative one: down to it) come near to all of `wanted`, each with
/// the weight of its miss, so that the greatest of them is within reach.
///
/// Which factor the others round well under is a matter of luck, so several are looked at.
pub(super) fn factors<const N: usize>(wanted: [(f32, f32); N], top: f32) -> [f32; 2] {
    let larger = |a: f32, b: f32| if b.abs() > a.abs() { b } else { a };
    let extreme = wanted.iter().fold(0.0, |most, &(x, _)| larger(most, x));
    let miss = |factor: f32| {
        let inverse = inverse(factor);
        let [least, greatest] = if top < 0.0 {
            [top, -top - 1.0]
        } else {
            [0.0, top]
        };
        let misses = wanted.iter().map(|&(x, weight)| {
            let miss = x - factor * nearest_code(x * inverse, least, greatest);
            weight * miss * miss
        });
        misses.sum::<f32>()
    };
    let mut best = [(stored(extreme / top), f32::INFINITY); 2];
    for step in 0..24_u8 {
        let factor = stored(extreme / (top * (1.0 - 0.015 * f32::from(step))));
        let miss = miss(factor);
        if miss < best[0].1 {
            best = [(factor, miss), best[0]];
        } else if miss < best[1].1 {
            best[1] = (factor, miss);
        }
    }
    best.map(|(factor, _)| factor)
}

/// The best of what was tried, each with its gain: more than one, for the best before polishing need not be it after.
struct Best<T>([(T, f32); 3]);

impl<T: Copy + Default> Best<T> {
    fn new() -> Self {
        Self([(T::default(), f32::NEG_INFINITY); 3])
    }

    fn offer(&mut self, (candidate, gain): (T, f32)) {
        // An equal gain is nearly always an equal candidate.
        if gain <= self.0[2].1 || self.0.iter().any(|&(_, other)| other == gain) {
            return;
        }
        self.0[2] = (candidate, gain);
        for i in [1, 0] {
            if self.0[i + 1].1 > self.0[i].1 {
                self.0.swap(i, i + 1);
            }
        }
    }

    /// The best after each was improved until it gained no more.
    fn polished(self, improve: impl Fn(T) -> (T, f32)) -> T {
        let (mut best, mut best_gain) = (T::default(), f32::NEG_INFINITY);
        for (mut candidate, mut gain) in self.0 {
            if gain == f32::NEG_INFINITY {
                break;
            }
            for _ in 0..POLISH {
                let (better, better_gain) = improve(candidate);
                if better_gain <= gain {
                    break;
                }
                (candidate, gain) = (better, better_gain);
            }
            if gain > best_gain {
                (best, best_gain) = (candidate, gain);
            }
        }
        best
    }
}

/// What the extreme value may become, in units of the scale, if it is near `end`: up to one step within the range,
/// or clipped, the further the coarser the levels are.
fn inverses(end: f32) -> impl Iterator<Item = f32> {
    let step = if end.abs() > 64.0 { 1.0 } else { 0.1 } * end.signum();
    let near = (-9_i8..=9).map(move |count| end + f32::from(count) * step);
    let clipped = [1.18, 1.3, 1.45, 1.65, 1.9];
    let count = if end.abs() > 16.0 && end.abs() < 64.0 {
        0
    } else {
        clipped.len()
    };
    near.chain(
        clipped
            .into_iter()
            .take(count)
            .map(move |factor| end * factor),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest_of(levels: &[i8], x: f32) -> f32 {
        let miss = |level: &f32| (x - level).abs();
        let levels = levels.iter().map(|&level| f32::from(level));
        levels.min_by(|a, b| miss(a).total_cmp(&miss(b))).unwrap()
    }

    #[test]
    fn levels_are_the_nearest() {
        for step in -2_000..2_000 {
            // Never a midpoint.
            let x = step as f32 / 10.0 + 0.03;
            assert_eq!(Iq4::nearest(x), nearest_of(&IQ4_VALUES, x), "{x}");
            let x = x / 10.0;
            assert_eq!(E2m1::nearest(x), nearest_of(&MXFP4_VALUES, x), "{x}");
            let run: Vec<i8> = (-8..8).collect();
            assert_eq!(Run::<-8, 7>::nearest(x), nearest_of(&run, x), "{x}");
        }
    }

    /// Against all scales on a fine grid.
    #[test]
    fn no_other_scale_is_much_better() {
        let values: [f32; 32] =
            std::array::from_fn(|i| (i as f32 * 1.7).sin().powi(3) + 0.01 * i as f32);
        let weights = std::array::from_fn(|i| 1.0 + (i % 5) as f32);
        let group = Group {
            values: &values,
            weights: &weights,
        };
        let found = group.error::<Run<-4, 3>>(group.scale::<Run<-4, 3>>());
        let least = (1..4000)
            .flat_map(|i| [i as f32, -(i as f32)])
            .map(|i| group.error::<Run<-4, 3>>(i / 4000.0))
            .fold(f32::MAX, f32::min);
        assert!(found <= 1.01 * least, "{found}, but {least} is possible");

        let found = group.line_error(group.line(3.0, true), 3.0);
        let mut least = f32::MAX;
        for scale in (1..200).map(|i| i as f32 / 200.0) {
            for offset in (-200..=0).map(|i| i as f32 / 150.0) {
                least = least.min(group.line_error(Line { scale, offset }, 3.0));
            }
        }
        assert!(found <= 1.01 * least, "{found}, but {least} is possible");
    }
}
