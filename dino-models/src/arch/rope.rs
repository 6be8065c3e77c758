//! Rotary position embedding as files describe it.

use crate::ModelError;
use crate::format::Metadata;
use dino_kernels::ops::RopeFrequencies;

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
        let base = scoped.maybe::<f32>("rope.freq_base")?.unwrap_or(10_000.0);
        let impossible = |key: &str, found: String, expected: &str| ModelError::Impossible {
            file: metadata.file().to_owned(),
            key: scoped.key(key),
            found,
            expected: expected.into(),
        };
        if dim == 0 || dim > head_dim || !dim.is_multiple_of(2) {
            let expected = format!("an even number up to the head's {head_dim} features");
            return Err(impossible(
                "rope.dimension_count",
                dim.to_string(),
                &expected,
            ));
        }
        if !(base.is_finite() && base > 0.0) {
            return Err(impossible(
                "rope.freq_base",
                base.to_string(),
                "a positive number",
            ));
        }
        let scaling = Self::read_scaling(metadata)?;
        Ok(Self {
            dim,
            pairing,
            base,
            scaling,
        })
    }

    fn read_scaling(metadata: &Metadata) -> Result<RopeScaling, ModelError> {
        let scoped = metadata.scoped()?;
        // Files of old converters say `rope.scale_linear` alone.
        let old = scoped.maybe::<f32>("rope.scale_linear")?;
        let kind = scoped.maybe::<&str>("rope.scaling.type")?;
        let factor = scoped.maybe::<f32>("rope.scaling.factor")?.or(old);
        // Where the context was stretched from, and whether it was trained so: these only inform.
        scoped.maybe::<usize>("rope.scaling.original_context_length")?;
        scoped.maybe::<bool>("rope.scaling.finetuned")?;
        let scaling = match (kind, factor) {
            (Some("none"), _) | (None, None) => RopeScaling::None,
            (Some("linear") | None, Some(factor)) if factor.is_finite() && factor > 0.0 => {
                RopeScaling::Linear { factor }
            }
            (Some("linear") | None, factor) => {
                return Err(ModelError::Impossible {
                    file: metadata.file().to_owned(),
                    key: scoped.key("rope.scaling.factor"),
                    found: factor.map_or_else(|| "missing".into(), |factor| factor.to_string()),
                    expected: "a positive number".into(),
                });
            }
            (Some(other), _) => {
                return Err(ModelError::Unsupported {
                    file: metadata.file().to_owned(),
                    key: scoped.key("rope.scaling.type"),
                    found: other.to_owned(),
                });
            }
        };
        Ok(scaling)
    }

    /// How fast each pair turns; `factors`, `[dim / 2]`, slow single pairs down (Llama 3.1).
    ///
    /// # Panics
    /// If there is not one factor a pair.
    pub fn frequencies(&self, factors: Option<&[f32]>) -> RopeFrequencies {
        let plain = RopeFrequencies::new(self.dim, f64::from(self.base));
        let scaled = match self.scaling {
            RopeScaling::None => plain,
            RopeScaling::Linear { factor } => plain.linear(f64::from(factor)),
        };
        match factors {
            Some(factors) => scaled.divided_by(factors),
            None => scaled,
        }
    }
}
