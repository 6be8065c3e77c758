//! Rotary position embeddings (Su et al., 2021, "RoFormer") and the ways to stretch them to longer contexts.
//!
//! [`RopeFrequencies`] says how fast each plane turns and is made once a model; [`RopeAngles`] holds the sines
//! and cosines of the positions at hand and is filled once a forward pass, for all layers. Both are computed
//! in f64: in f32 the angle of position 100,000 would be off by 0.004.

use super::rows::for_rows;
use crate::{Angles, Compute};
use ndarray::ArrayViewMut2;
use std::f64::consts::TAU;

/// Which two features of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairing {
    /// `(0, 1), (2, 3), …`: as in the paper; GGUF's `llama` weights are permuted to it.
    Interleaved,
    /// `(0, half), (1, half + 1), …`: as in GPT-NeoX and `transformers`.
    Halves,
}

/// How fast each plane of a head turns: radians a position.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeFrequencies {
    inverse: Vec<f64>,
    magnitude: f64,
}

/// Llama 3.1's scaling: slow planes are slowed down by `factor`, fast ones kept, those between blended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3Scaling {
    /// How many times longer the context becomes.
    pub factor: f64,
    /// Planes that turn fewer times than this in the original context are slow.
    pub low_frequency_factor: f64,
    /// Planes that turn more often than this in the original context are fast.
    pub high_frequency_factor: f64,
    /// Positions that the model was first trained with.
    pub original_context: f64,
}

/// YaRN's scaling (Peng et al., 2023): as [`Llama3Scaling`], blended along the planes' numbers, and with larger
/// scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct YarnScaling {
    /// How many times longer the context becomes.
    pub factor: f64,
    /// Positions that the model was first trained with.
    pub original_context: f64,
    /// Turns in the original context from which on a plane is fast; 32 as a rule.
    pub beta_fast: f64,
    /// Turns in the original context below which a plane is slow; 1 as a rule.
    pub beta_slow: f64,
    /// Whether the first and the last of the planes between fast and slow are rounded to whole ones, as the paper does.
    pub truncate: bool,
    /// Factor of sines and cosines; `None` for the paper's `0.1 · ln(factor) + 1`.
    pub magnitude: Option<f64>,
}

impl RopeFrequencies {
    /// Planes of the first `rotated` features of a head: plane i turns by `base^(−2i / rotated)`.
    ///
    /// # Panics
    /// If `rotated` is odd.
    pub fn new(rotated: usize, base: f64) -> Self {
        assert!(
            rotated.is_multiple_of(2),
            "{rotated} features cannot be paired"
        );
        let power = |i: usize| base.powf(-2.0 * i as f64 / rotated as f64);
        Self {
            inverse: (0..rotated / 2).map(power).collect(),
            magnitude: 1.0,
        }
    }

    /// Linear scaling: positions count as `1 / factor` each (Chen et al., 2023).
    pub fn linear(self, factor: f64) -> Self {
        self.map(|_, f| f / factor)
    }

    /// Plane i is slowed down by `factors[i]`: the `rope_freqs` tensor of a GGUF file, or LongRoPE's lists.
    ///
    /// # Panics
    /// If there is not one factor a plane.
    pub fn divided_by(self, factors: &[f32]) -> Self {
        assert_eq!(factors.len(), self.planes(), "one factor a plane");
        self.map(|i, f| f / f64::from(factors[i]))
    }

    /// Sines and cosines are multiplied by `magnitude`, on top of what they are multiplied by already.
    pub fn with_magnitude(mut self, magnitude: f64) -> Self {
        self.magnitude *= magnitude;
        self
    }

    /// Llama 3.1's scaling.
    pub fn llama3(self, scaling: Llama3Scaling) -> Self {
        let (low, high) = (scaling.low_frequency_factor, scaling.high_frequency_factor);
        self.map(|_, f| {
            let turns = scaling.original_context * f / TAU;
            let kept = if high > low {
                ((turns - low) / (high - low)).clamp(0.0, 1.0)
            } else {
                f64::from(turns >= low)
            };
            kept * f + (1.0 - kept) * f / scaling.factor
        })
    }

    /// YaRN's scaling of frequencies made with `base`.
    pub fn yarn(self, base: f64, scaling: YarnScaling) -> Self {
        let rotated = 2.0 * self.planes() as f64;
        // The number of the plane that makes so many turns in the original context.
        let plane = |turns: f64| {
            rotated * (scaling.original_context / (turns * TAU)).ln() / (2.0 * base.ln())
        };
        let (mut first, mut last) = (plane(scaling.beta_fast), plane(scaling.beta_slow));
        if scaling.truncate {
            (first, last) = (first.floor(), last.ceil());
        }
        let (first, last) = (first.max(0.0), last.min(rotated - 1.0));
        let magnitude = scaling.magnitude.unwrap_or(0.1 * scaling.factor.ln() + 1.0);
        self.map(|i, f| {
            let slowed = ((i as f64 - first) / (last - first).max(0.001)).clamp(0.0, 1.0);
            slowed * f / scaling.factor + (1.0 - slowed) * f
        })
        .with_magnitude(magnitude)
    }

    /// How many planes turn: half the rotated features.
    pub fn planes(&self) -> usize {
        self.inverse.len()
    }

    fn map(mut self, f: impl Fn(usize, f64) -> f64) -> Self {
        for (i, frequency) in self.inverse.iter_mut().enumerate() {
            *frequency = f(i, *frequency);
        }
        self
    }
}

/// Cosines and sines of some positions, `[positions, planes]` each.
#[derive(Clone, Debug, Default)]
pub struct RopeAngles {
    cos: Vec<f32>,
    sin: Vec<f32>,
    planes: usize,
}

impl RopeAngles {
    /// Forgets all positions; memory is kept.
    pub fn clear(&mut self) {
        self.cos.clear();
        self.sin.clear();
    }

    /// Adds the angles of `positions`, one for each row to be rotated.
    ///
    /// # Panics
    /// If the frequencies of positions added before had another number of planes.
    pub fn extend(
        &mut self,
        frequencies: &RopeFrequencies,
        positions: impl IntoIterator<Item = usize>,
    ) {
        let planes = frequencies.planes();
        assert!(
            self.cos.is_empty() || self.planes == planes,
            "planes of all positions"
        );
        self.planes = planes;
        for position in positions {
            for frequency in &frequencies.inverse {
                let (sin, cos) = (position as f64 * frequency).sin_cos();
                self.cos.push((cos * frequencies.magnitude) as f32);
                self.sin.push((sin * frequencies.magnitude) as f32);
            }
        }
    }

    /// The angles of row `row`.
    fn row(&self, row: usize) -> Angles<'_> {
        let range = row * self.planes..(row + 1) * self.planes;
        Angles {
            cos: &self.cos[range.clone()],
            sin: &self.sin[range],
        }
    }
}

/// Rotates the heads of each row by the angles of its position, in place.
///
/// `rows` is `[tokens, heads · head_dim]`; `angles` holds one position a token. Features of a head
/// beyond the rotated ones stay as they are.
///
/// # Panics
/// If shapes do not fit or `rows` is not in standard layout.
pub fn rope(
    compute: &Compute,
    rows: ArrayViewMut2<'_, f32>,
    head_dim: usize,
    pairing: RopePairing,
    angles: &RopeAngles,
) {
    let (tokens, columns) = rows.dim();
    assert_eq!(
        angles.cos.len(),
        tokens * angles.planes,
        "one position a token"
    );
    for_rows(compute, rows, |first, rows| {
        for (i, heads) in rows.chunks_exact_mut(columns.max(1)).enumerate() {
            let (kernels, angles) = (&compute.kernels.vector, angles.row(first + i));
            match pairing {
                RopePairing::Interleaved => kernels.rope_pairs(heads, head_dim, angles),
                RopePairing::Halves => kernels.rope_halves(heads, head_dim, angles),
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use ndarray::Array2;

    /// Planes and their frequencies as `transformers` 5.23.0 computes them (in f32).
    fn assert_frequencies(found: &RopeFrequencies, expected: &[(usize, f64)]) {
        for &(plane, expected) in expected {
            let error = found.inverse[plane] / expected - 1.0;
            assert!(
                error.abs() < 1e-6,
                "plane {plane}: {}",
                found.inverse[plane]
            );
        }
    }

    #[test]
    fn llama3_scaling_is_that_of_transformers() {
        let scaling = Llama3Scaling {
            factor: 32.0,
            low_frequency_factor: 1.0,
            high_frequency_factor: 4.0,
            original_context: 8192.0,
        };
        let found = RopeFrequencies::new(128, 500_000.0).llama3(scaling);
        assert_frequencies(
            &found,
            &[
                (0, 1.0),
                (1, 0.8146172165870667),
                (10, 0.12868738174438477),
                (15, 0.046164050698280334),
                (18, 0.02495540864765644),
                (20, 0.016560440883040428),
                (25, 0.005940730683505535),
                (30, 0.0012905480107292533),
                (31, 0.000762541254516691),
            ],
        );
    }

    #[test]
    fn yarn_scaling_is_that_of_transformers() {
        let scaling = YarnScaling {
            factor: 4.0,
            original_context: 32_768.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            truncate: true,
            magnitude: None,
        };
        let found = RopeFrequencies::new(64, 10_000.0).yarn(10_000.0, scaling);
        assert_frequencies(
            &found,
            &[
                (0, 1.0),
                (1, 0.7498942017555237),
                (10, 0.05623412877321243),
                (15, 0.01333521492779255),
                (18, 0.005298985633999109),
                (20, 0.002614960540086031),
                (25, 0.0004037891631014645),
                (30, 4.4456985051510856e-05),
                (31, 3.333803761051968e-05),
            ],
        );
        assert!((found.magnitude - 1.138_629_436_111_989).abs() < 1e-12);
        let scaling = YarnScaling {
            truncate: false,
            ..scaling
        };
        let found = RopeFrequencies::new(64, 10_000.0).yarn(10_000.0, scaling);
        assert_frequencies(
            &found,
            &[
                (10, 0.05623412877321243),
                (15, 0.01333521492779255),
                (18, 0.005517270416021347),
                (20, 0.002708657179027796),
                (25, 0.0004087836423423141),
                (30, 4.4456985051510856e-05),
            ],
        );
    }

    #[test]
    fn linear_scaling_and_factors_slow_down() {
        let plain = RopeFrequencies::new(4, 100.0);
        assert_eq!(plain.inverse, [1.0, 0.1]);
        assert_eq!(plain.clone().linear(2.0).inverse, [0.5, 0.05]);
        assert_eq!(plain.divided_by(&[1.0, 4.0]).inverse, [1.0, 0.025]);
    }

    #[test]
    fn scores_depend_on_the_distance_alone() {
        let compute = Compute::new(2).unwrap();
        let mut random = Random::new(1);
        let (query, key) = (random.values(64), random.values(64));
        let frequencies = RopeFrequencies::new(64, 10_000.0);
        let mut angles = RopeAngles::default();
        for pairing in [RopePairing::Interleaved, RopePairing::Halves] {
            let score = |angles: &mut RopeAngles, positions: [usize; 2]| {
                let both = query.iter().chain(&key).copied().collect();
                let mut rows = Array2::from_shape_vec((2, 64), both).unwrap();
                angles.clear();
                angles.extend(&frequencies, positions);
                rope(&compute, rows.view_mut(), 64, pairing, angles);
                rows.row(0).dot(&rows.row(1))
            };
            let near = score(&mut angles, [7, 3]);
            let far = score(&mut angles, [100_007, 100_003]);
            let other = score(&mut angles, [8, 3]);
            assert!((near - far).abs() < 1e-5, "{near} {far}");
            assert!((near - other).abs() > 1e-3);
        }
    }

    #[test]
    fn position_zero_and_the_rest_of_a_head_stay() {
        let compute = Compute::new(1).unwrap();
        let input = Array2::from_shape_fn((2, 20), |(i, j)| (i * 20 + j) as f32);
        let mut angles = RopeAngles::default();
        angles.extend(&RopeFrequencies::new(4, 10_000.0), [0, 9]);
        let mut rows = input.clone();
        rope(&compute, rows.view_mut(), 10, RopePairing::Halves, &angles);
        assert_eq!(rows.row(0), input.row(0));
        for (feature, (after, before)) in rows.row(1).iter().zip(input.row(1)).enumerate() {
            assert_eq!(after != before, feature % 10 < 4, "feature {feature}");
        }
    }
}
