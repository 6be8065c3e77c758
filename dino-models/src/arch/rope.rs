//! Rotary position embedding as files describe it.

use super::Spec;
use super::spec::check;
use crate::ModelError;
use crate::format::Metadata;
use dino_kernels::ops::{RopeFrequencies, YarnScaling};

pub use dino_kernels::ops::RopePairing;

/// How a model's context was stretched beyond its training.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Positions divided by a factor (Chen et al., arXiv:2306.15595).
    Linear {
        /// The factor.
        factor: f32,
    },
    /// A base that grows with the context that is asked for, beyond the trained one ("NTK-aware" scaling).
    Dynamic {
        /// How much longer the context may become.
        factor: f32,
    },
    /// Slow planes slowed down, fast ones kept, and larger scores (Peng et al., arXiv:2309.00071).
    Yarn {
        /// How many times longer the context became.
        factor: f32,
        /// Turns in the original context from which on a plane is fast.
        beta_fast: f32,
        /// Turns in the original context below which a plane is slow.
        beta_slow: f32,
        /// Whether the first and the last plane between are rounded to whole ones.
        truncate: bool,
    },
    /// A factor for each plane, from the file's tensors: short ones for contexts up to the original one, long ones for
    /// longer contexts (Ding et al., arXiv:2402.13753).
    LongRope {
        /// How many times longer the context became, where it is not the longer one over the original one.
        factor: Option<f32>,
    },
}

/// Rotary position embedding (Su et al., RoFormer, arXiv:2104.09864).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeSpec {
    /// Features of a head that are rotated, from its first on; even.
    pub dim: usize,
    /// Which features form a pair.
    pub pairing: RopePairing,
    /// The base of the frequencies.
    pub base: f32,
    /// Stretching.
    pub scaling: RopeScaling,
    /// Positions that the model was first trained for, before its context was stretched.
    pub original_context: usize,
    /// Positions that it was stretched to.
    pub context: usize,
    /// What sines and cosines are multiplied by, where the scaling does not say.
    pub magnitude: Option<f32>,
}

impl RopeSpec {
    /// Reads the `rope.*` keys; `head_dim` features are rotated where the file does not say otherwise.
    ///
    /// # Errors
    /// If a key is impossible or a scaling is not supported.
    pub fn read(
        metadata: &Metadata,
        head_dim: usize,
        pairing: RopePairing,
    ) -> Result<Self, ModelError> {
        let scoped = metadata.scoped()?;
        let dim = scoped
            .maybe::<usize>("rope.dimension_count")?
            .unwrap_or(head_dim);
        let fits = dim > 0 && dim <= head_dim && dim.is_multiple_of(2);
        let expected = format!("an even number up to the head's {head_dim} features");
        check(
            metadata,
            &scoped.key("rope.dimension_count"),
            dim,
            fits,
            &expected,
        )?;
        let trained = scoped.get::<usize>("context_length")?;
        let key = "rope.scaling.original_context_length";
        let original = scoped.maybe::<usize>(key)?.unwrap_or(trained);
        check(
            metadata,
            &scoped.key(key),
            original,
            original > 0,
            "a positive number",
        )?;
        // Whether a stretched model was trained so only informs.
        scoped.maybe::<bool>("rope.scaling.finetuned")?;
        let number = |key: &str| Spec::positive(metadata, &format!("rope.scaling.{key}"));
        let (attention, yarn) = (number("attn_factor")?, number("yarn_attn_factor")?);
        let scaling = RopeScaling::read(metadata)?;
        let scales = number("yarn_mscale")?.zip(number("yarn_mscale_all_dim")?);
        // Files say it by one number, where the other is 1.
        let scales = scales.or(number("yarn_log_multiplier")?.map(|all| (1.0, all)));
        let scaled = scales.and_then(|(one, all)| scaling.yarn_magnitude(one, all));
        Ok(Self {
            dim,
            pairing,
            base: Spec::positive(metadata, "rope.freq_base")?.unwrap_or(10_000.0),
            scaling,
            original_context: original,
            context: trained,
            magnitude: attention.or(yarn).or(scaled),
        })
    }

    /// No rotation.
    pub(super) fn none(context: usize) -> Self {
        Self {
            dim: 0,
            pairing: RopePairing::Halves,
            base: 1.0,
            scaling: RopeScaling::None,
            original_context: context,
            context,
            magnitude: None,
        }
    }

    /// How fast each pair turns in a context of `context` positions. `factors`, `[dim / 2]`, slow single pairs down
    /// (Llama 3.1, longrope).
    ///
    /// # Panics
    /// If there is not one factor a pair.
    pub fn frequencies(&self, factors: Option<&[f32]>, context: usize) -> RopeFrequencies {
        let (base, original) = (f64::from(self.base), self.original_context as f64);
        let plain = RopeFrequencies::new(self.dim, base);
        let magnitude = self.magnitude.map(f64::from);
        let scaled = match self.scaling {
            RopeScaling::None => plain.with_magnitude(magnitude.unwrap_or(1.0)),
            RopeScaling::Linear { factor } => plain.linear(f64::from(factor)),
            RopeScaling::Dynamic { factor } => {
                let (factor, dim) = (f64::from(factor), self.dim as f64);
                let stretched = (context as f64 / self.context as f64).max(1.0);
                let growth = factor * stretched - (factor - 1.0);
                RopeFrequencies::new(self.dim, base * growth.powf(dim / (dim - 2.0)))
            }
            RopeScaling::Yarn {
                factor,
                beta_fast,
                beta_slow,
                truncate,
            } => plain.yarn(
                base,
                YarnScaling {
                    factor: f64::from(factor),
                    original_context: original,
                    beta_fast: f64::from(beta_fast),
                    beta_slow: f64::from(beta_slow),
                    truncate,
                    magnitude,
                },
            ),
            RopeScaling::LongRope { factor } => {
                let ratio = self.context as f64 / original;
                let stretched = factor.map_or(ratio, f64::from).max(1.0);
                let paper = (1.0 + stretched.ln() / original.ln()).sqrt();
                // In f32, as files that say it store it.
                plain.with_magnitude(magnitude.unwrap_or(f64::from(paper as f32)))
            }
        };
        match factors {
            Some(factors) => scaled.divided_by(factors),
            None => scaled,
        }
    }
}

impl RopeScaling {
    /// Yarn's magnitude where it is scaled by one factor for rotated and another for all features (DeepSeek-V2,
    /// arXiv:2405.04434).
    fn yarn_magnitude(self, one: f32, all: f32) -> Option<f32> {
        let Self::Yarn { factor, .. } = self else {
            return None;
        };
        let magnitude = |scale: f32| 0.1 * scale * factor.max(1.0).ln() + 1.0;
        Some(magnitude(one) / magnitude(all))
    }

    fn read(metadata: &Metadata) -> Result<Self, ModelError> {
        let scoped = metadata.scoped()?;
        let kind = scoped.maybe::<&str>("rope.scaling.type")?;
        let number = |key: &str| Spec::positive(metadata, &format!("rope.scaling.{key}"));
        // Files of old converters say `rope.scale_linear` alone.
        let factor = number("factor")?.or(Spec::positive(metadata, "rope.scale_linear")?);
        let needed = |key: &str, found: Option<f32>| {
            found.ok_or_else(|| ModelError::Impossible {
                file: metadata.file().to_owned(),
                key: scoped.key(&format!("rope.scaling.{key}")),
                found: "missing".into(),
                expected: "a positive number".into(),
            })
        };
        Ok(match (kind, factor) {
            (Some("none"), _) | (None, None) => Self::None,
            (Some("linear") | None, factor) => Self::Linear {
                factor: needed("factor", factor)?,
            },
            (Some("dynamic"), factor) => Self::Dynamic {
                factor: needed("factor", factor)?,
            },
            (Some("longrope"), factor) => Self::LongRope { factor },
            (Some("yarn"), factor) if number("yarn_ext_factor")?.unwrap_or(1.0) == 1.0 => {
                Self::Yarn {
                    factor: needed("factor", factor)?,
                    beta_fast: number("yarn_beta_fast")?.unwrap_or(32.0),
                    beta_slow: number("yarn_beta_slow")?.unwrap_or(1.0),
                    truncate: scoped.maybe("rope.scaling.yarn_truncate")?.unwrap_or(true),
                }
            }
            (Some(other), _) => {
                return Err(ModelError::Unsupported {
                    file: metadata.file().to_owned(),
                    key: scoped.key("rope.scaling.type"),
                    found: other.to_owned(),
                });
            }
        })
    }
}
