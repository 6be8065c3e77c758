//! Rotary position embedding as files describe it.

use super::Spec;
use super::spec::check;
use crate::ModelError;
use crate::format::Metadata;
use dino_kernels::ops::{Llama3Scaling, RopeFrequencies, YarnScaling};

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
    },
    /// Slow planes slowed down, fast ones kept (Llama 3.1, arXiv:2407.21783).
    Llama3 {
        /// How many times longer the context became.
        factor: f32,
        /// Turns in the original context below which a plane is slow.
        low: f32,
        /// Turns in the original context from which on a plane is fast.
        high: f32,
    },
    /// A factor for each plane, from the file's tensors: short ones for contexts up to the original one, long ones for
    /// longer contexts (Ding et al., arXiv:2402.13753).
    LongRope,
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
        let attention = Spec::positive(metadata, "rope.scaling.attn_factor")?;
        let yarn_attention = Spec::positive(metadata, "rope.scaling.yarn_attn_factor")?;
        Ok(Self {
            dim,
            pairing,
            base: Spec::positive(metadata, "rope.freq_base")?.unwrap_or(10_000.0),
            scaling: RopeScaling::read(metadata)?,
            original_context: original,
            context: trained,
            magnitude: attention.or(yarn_attention),
        })
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
                let stretched = (context as f64 / original).max(1.0);
                let growth = factor * stretched - (factor - 1.0);
                RopeFrequencies::new(self.dim, base * growth.powf(dim / (dim - 2.0)))
            }
            RopeScaling::Yarn {
                factor,
                beta_fast,
                beta_slow,
            } => plain.yarn(
                base,
                YarnScaling {
                    factor: f64::from(factor),
                    original_context: original,
                    beta_fast: f64::from(beta_fast),
                    beta_slow: f64::from(beta_slow),
                    magnitude,
                },
            ),
            RopeScaling::Llama3 { factor, low, high } => plain.llama3(Llama3Scaling {
                factor: f64::from(factor),
                low_frequency_factor: f64::from(low),
                high_frequency_factor: f64::from(high),
                original_context: original,
            }),
            RopeScaling::LongRope => {
                let stretched = (self.context as f64 / original).max(1.0);
                let paper = (1.0 + stretched.ln() / original.ln()).sqrt();
                plain.with_magnitude(magnitude.unwrap_or(paper))
            }
        };
        match factors {
            Some(factors) => scaled.divided_by(factors),
            None => scaled,
        }
    }
}

impl RopeScaling {
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
            (Some("longrope"), _) => Self::LongRope,
            (Some("yarn"), factor) if number("yarn_ext_factor")?.unwrap_or(1.0) == 1.0 => {
                Self::Yarn {
                    factor: needed("factor", factor)?,
                    beta_fast: number("yarn_beta_fast")?.unwrap_or(32.0),
                    beta_slow: number("yarn_beta_slow")?.unwrap_or(1.0),
                }
            }
            (Some("llama3"), factor) => Self::Llama3 {
                factor: needed("factor", factor)?,
                low: needed("low_freq_factor", number("low_freq_factor")?)?,
                high: needed("high_freq_factor", number("high_freq_factor")?)?,
            },
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
