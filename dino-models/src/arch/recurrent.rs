//! The parts of layers that remember by a state, as files describe them.

use super::spec::{SIZES, check};
use crate::ModelError;
use crate::format::Metadata;
use dino_kernels::ops::DeltaRule;

/// A layer of the gated delta rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaSpec {
    /// Heads and their sizes.
    pub rule: DeltaRule,
    /// Tokens that the convolution before it sees.
    pub taps: usize,
    /// Whether one matrix, its rows in groups of a key head, gives both rates and decays.
    pub rates_fused: bool,
}

/// A layer of Mamba's selective scan: each feature has rates of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectiveScanSpec {
    /// Features inside.
    pub inner: usize,
    /// Values of the state for each of them.
    pub size: usize,
    /// Tokens that the convolution before it sees.
    pub taps: usize,
    /// Features between the two matrices that give the steps.
    pub step_rank: usize,
    /// Whether steps, B and C are normalised (Falcon Mamba, arXiv:2410.05355).
    pub normalised: bool,
}

/// A layer of Mamba-2's state space: the features of a head have one rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateSpaceSpec {
    /// Features inside.
    pub inner: usize,
    /// Values of the state for each of them.
    pub size: usize,
    /// Tokens that the convolution before it sees.
    pub taps: usize,
    /// Heads; divides `inner`.
    pub heads: usize,
    /// Groups of heads with one B and C; divides `heads`.
    pub groups: usize,
}

impl DeltaSpec {
    /// Reads the `ssm.*` keys of a delta rule; `grouped` as in [`DeltaRule`].
    ///
    /// # Errors
    /// If a key is missing or impossible.
    pub fn read(metadata: &Metadata, grouped: bool) -> Result<Self, ModelError> {
        let size = |key| positive(metadata, key);
        let (key_heads, value_heads) = (size("ssm.group_count")?, size("ssm.time_step_rank")?);
        let inner = size("ssm.inner_size")?;
        let (key, value_key) = ("ssm.time_step_rank", "ssm.inner_size");
        divides(metadata, key, value_heads, [value_heads, key_heads])?;
        divides(metadata, value_key, inner, [inner, value_heads])?;
        Ok(Self {
            rule: DeltaRule {
                key_heads,
                value_heads,
                key_dim: size("ssm.state_size")?,
                value_dim: inner / value_heads,
                grouped,
            },
            taps: size("ssm.conv_kernel")?,
            rates_fused: false,
        })
    }
}

impl SelectiveScanSpec {
    /// Reads the `ssm.*` keys of Mamba.
    ///
    /// # Errors
    /// If a key is missing or impossible.
    pub fn read(metadata: &Metadata) -> Result<Self, ModelError> {
        Ok(Self {
            inner: positive(metadata, "ssm.inner_size")?,
            size: positive(metadata, "ssm.state_size")?,
            taps: positive(metadata, "ssm.conv_kernel")?,
            step_rank: positive(metadata, "ssm.time_step_rank")?,
            normalised: metadata.scoped()?.maybe("ssm.dt_b_c_rms")?.unwrap_or(false),
        })
    }
}

impl StateSpaceSpec {
    /// Reads the `ssm.*` keys of Mamba-2.
    ///
    /// # Errors
    /// If a key is missing or impossible.
    pub fn read(metadata: &Metadata) -> Result<Self, ModelError> {
        let spec = Self {
            inner: positive(metadata, "ssm.inner_size")?,
            size: positive(metadata, "ssm.state_size")?,
            taps: positive(metadata, "ssm.conv_kernel")?,
            heads: positive(metadata, "ssm.time_step_rank")?,
            groups: positive(metadata, "ssm.group_count")?,
        };
        let (heads, groups) = (spec.heads, spec.groups);
        divides(metadata, "ssm.group_count", groups, [heads, groups])?;
        divides(metadata, "ssm.time_step_rank", heads, [spec.inner, heads])?;
        divides(metadata, "ssm.inner_size", spec.inner, [spec.inner, groups])?;
        Ok(spec)
    }
}

/// A key of the architecture that holds a size.
pub(super) fn positive(metadata: &Metadata, key: &str) -> Result<usize, ModelError> {
    /// No layer's part is larger; products of three sizes stay far from overflow.
    const LARGEST: usize = 1 << 20;
    let scoped = metadata.scoped()?;
    let value = scoped.get::<usize>(key)?;
    let fits = SIZES.contains(&value) && value <= LARGEST;
    check(
        metadata,
        &scoped.key(key),
        value,
        fits,
        "a positive number up to 2^20",
    )
}

fn divides(
    metadata: &Metadata,
    key: &str,
    value: usize,
    [whole, part]: [usize; 2],
) -> Result<usize, ModelError> {
    let expected = format!("{whole} to be a multiple of {part}");
    let (key, fits) = (metadata.scoped()?.key(key), whole.is_multiple_of(part));
    check(metadata, &key, value, fits, &expected)
}

/// A from the logarithm of -A, which `transformers` keeps.
pub(super) fn from_logarithm(log: f32) -> f32 {
    -f64::from(log).exp() as f32
}

/// The weights of a convolution over each feature by itself, `[features, 1, taps]`, as a matrix.
pub(super) fn squeezed(_: &Metadata, shape: &[usize]) -> Vec<usize> {
    match shape {
        [features, 1, taps] => vec![*features, *taps],
        // No shape fits then, and the error names the tensor.
        _ => Vec::new(),
    }
}
