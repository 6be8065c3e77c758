//! A context stretched beyond what the file says.

use dino_models::ModelError;
use dino_models::format::{ModelFile, Value};

use crate::Result;
use std::str::FromStr;

/// How a model's positions are stretched, instead of as its file says: see
/// [`ModelBuilder::rope_scaling`](crate::ModelBuilder::rope_scaling).
///
/// ```no_run
/// use dino_llm::{Model, RopeOverride};
///
/// // A model that was trained for 8192 positions reads 32768.
/// let model = Model::builder().rope_scaling(RopeOverride::yarn(4.0)).load("model.gguf")?;
/// assert_eq!(model.config().context_length, 32768);
/// # Ok::<(), dino_llm::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RopeOverride {
    /// The way.
    pub kind: RopeKind,
    /// How many times as long the context becomes.
    pub factor: f32,
    /// Positions that the model was trained for before it was stretched; those that the file says if `None`.
    pub original_context: Option<usize>,
    /// Another base of the frequencies than the file's.
    pub base: Option<f32>,
    /// Of yarn: what rotated queries and keys are multiplied by; `0.1 ln(factor) + 1` if `None`.
    pub attention_factor: Option<f32>,
    /// Of yarn: turns in the original context from which on a plane of the rotation is kept as it is; 32 if `None`.
    pub beta_fast: Option<f32>,
    /// Of yarn: turns below which it is stretched by the whole factor; 1 if `None`.
    pub beta_slow: Option<f32>,
}

/// A way of stretching positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RopeKind {
    /// None: the file's own is left out.
    Unscaled,
    /// Positions divided by the factor (Chen et al., arXiv:2306.15595).
    Linear,
    /// Slow planes slowed down, fast ones kept, larger scores (Peng et al., arXiv:2309.00071). Best without training.
    Yarn,
}

impl FromStr for RopeKind {
    type Err = UnknownRopeKind;

    fn from_str(name: &str) -> Result<Self, UnknownRopeKind> {
        let kinds = [Self::Unscaled, Self::Linear, Self::Yarn];
        let known = kinds.into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| UnknownRopeKind(name.to_owned()))
    }
}

/// A way of stretching positions that is not known here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown rope scaling `{0}`; known are none, linear and yarn")]
pub struct UnknownRopeKind(String);

impl RopeKind {
    /// As files call it.
    fn name(self) -> &'static str {
        match self {
            Self::Unscaled => "none",
            Self::Linear => "linear",
            Self::Yarn => "yarn",
        }
    }
}

/// A tensor of files whose stretching is a factor for each plane.
const LONG_FACTORS: &str = "rope_factors_long.weight";

impl RopeOverride {
    /// No stretching, whatever the file says.
    pub fn unscaled() -> Self {
        Self::new(RopeKind::Unscaled, 1.0)
    }

    /// Positions divided by `factor`.
    pub fn linear(factor: f32) -> Self {
        Self::new(RopeKind::Linear, factor)
    }

    /// Yarn with its usual settings.
    pub fn yarn(factor: f32) -> Self {
        Self::new(RopeKind::Yarn, factor)
    }

    fn new(kind: RopeKind, factor: f32) -> Self {
        Self {
            kind,
            factor,
            original_context: None,
            base: None,
            attention_factor: None,
            beta_fast: None,
            beta_slow: None,
        }
    }

    /// Has the file's metadata say this, as if it had been stored so: what is impossible is refused where files are
    /// checked, by an error that names the key.
    pub(super) fn apply(&self, file: &mut ModelFile) -> Result<()> {
        if file.weights.contains(LONG_FACTORS) {
            return Err(ModelError::Unsupported {
                file: file.path.clone(),
                key: format!("rope scaling beside {LONG_FACTORS}"),
                found: self.kind.name().to_owned(),
            }
            .into());
        }
        let metadata = &mut file.metadata;
        let scope = metadata.architecture()?.to_owned();
        let key = |key: &str| format!("{scope}.{key}");
        let trained = metadata.maybe::<usize>(&key("rope.scaling.original_context_length"))?;
        let original = match self.original_context.or(trained) {
            Some(original) => original,
            None => metadata.get(&key("context_length"))?,
        };
        metadata.remove(&key("rope.scale_linear"));
        metadata.remove_all(&key("rope.scaling."));
        let mut set = |name: &str, value: Value| metadata.insert(key(name), value);
        set("rope.scaling.type", self.kind.name().into());
        if let Some(base) = self.base {
            set("rope.freq_base", base.into());
        }
        if self.kind == RopeKind::Unscaled {
            set("context_length", (original as u64).into());
            return Ok(());
        }
        set("rope.scaling.factor", self.factor.into());
        set(
            "rope.scaling.original_context_length",
            (original as u64).into(),
        );
        // What is no number of positions is 0 here, and refused there.
        let stretched = (original as f64 * f64::from(self.factor)) as u64;
        set("context_length", stretched.into());
        if self.kind == RopeKind::Yarn {
            let numbers = [
                ("rope.scaling.attn_factor", self.attention_factor),
                ("rope.scaling.yarn_beta_fast", self.beta_fast),
                ("rope.scaling.yarn_beta_slow", self.beta_slow),
            ];
            for (name, value) in numbers {
                if let Some(value) = value {
                    set(name, value.into());
                }
            }
        }
        Ok(())
    }
}
