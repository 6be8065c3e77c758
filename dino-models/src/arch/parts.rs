//! The parts that decoders differ in.

use super::Experts;
use super::spec::check;
use super::{DeltaSpec, SelectiveScanSpec, StateSpaceSpec};
use crate::ModelError;
use crate::format::{Metadata, Value, Weights};

/// A normalisation of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Norm {
    /// By the root mean square (Zhang and Sennrich, arXiv:1910.07467).
    Rms {
        /// Added to the mean square.
        epsilon: f32,
    },
    /// By mean and variance (Ba et al., arXiv:1607.06450).
    Layer {
        /// Added to the variance.
        epsilon: f32,
        /// Whether a bias is added.
        bias: bool,
    },
}

impl Norm {
    /// RMS norm with the file's `attention.layer_norm_rms_epsilon`.
    ///
    /// # Errors
    /// If the key is missing or impossible.
    pub fn rms(metadata: &Metadata) -> Result<Self, ModelError> {
        let epsilon = epsilon(metadata, "attention.layer_norm_rms_epsilon")?;
        Ok(Self::Rms { epsilon })
    }

    /// Layer norm with the file's `attention.layer_norm_epsilon`.
    ///
    /// # Errors
    /// If the key is missing or impossible.
    pub fn layer(metadata: &Metadata, bias: bool) -> Result<Self, ModelError> {
        let epsilon = epsilon(metadata, "attention.layer_norm_epsilon")?;
        Ok(Self::Layer { epsilon, bias })
    }
}

impl Norm {
    /// What keeps the divisor from being zero.
    pub(crate) fn epsilon(self) -> f32 {
        match self {
            Self::Rms { epsilon } | Self::Layer { epsilon, .. } => epsilon,
        }
    }
}

fn epsilon(metadata: &Metadata, key: &str) -> Result<f32, ModelError> {
    let scoped = metadata.scoped()?;
    let epsilon = scoped.get::<f32>(key)?;
    let fits = epsilon.is_finite() && (0.0..1.0).contains(&epsilon);
    check(
        metadata,
        &scoped.key(key),
        epsilon,
        fits,
        "a small positive number",
    )
}

/// Where a layer normalises (Xiong et al., arXiv:2002.04745), and whether its parts follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Norms {
    /// What each part reads.
    Pre,
    /// What each part adds to the residual stream (OLMo 2, arXiv:2501.00656).
    Post,
    /// Both (Gemma 2, arXiv:2408.00118).
    Sandwich,
    /// What each part reads; and both parts read what the layer is given (GPT-J; PaLM, arXiv:2204.02311).
    Parallel,
    /// The same with one norm for both.
    ParallelShared,
}

impl Norms {
    /// Whether the feed-forward part reads what attention reads, not what it left.
    pub fn parallel(self) -> bool {
        matches!(self, Self::Parallel | Self::ParallelShared)
    }
}

/// How queries and keys are normalised before they are rotated (Henry et al., arXiv:2010.04245).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QkNorm {
    /// Not at all.
    None,
    /// Each head by itself, all with the same weights.
    Heads,
    /// All heads of a token as one row.
    Rows,
    /// Each head by a layer norm with weights of its own and no bias, where the file has them: no key says so.
    EachHead,
}

impl QkNorm {
    /// With `EachHead` only where `weights` has it.
    pub(crate) fn settled(self, weights: &Weights) -> Self {
        let stored = |name: &str| {
            name.ends_with(".attn_q_norm.weight") || name.ends_with(".attn_k_norm.weight")
        };
        match self {
            Self::EachHead if !weights.names().any(stored) => Self::None,
            settled => settled,
        }
    }
}

/// How queries grow with their positions: by `1 + rate · ln(1 + ⌊position / every⌋)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueryGrowth {
    /// How fast.
    pub rate: f32,
    /// Positions from one step to the next; a positive number.
    pub every: usize,
}

impl QueryGrowth {
    /// What the query at `position` is multiplied by.
    pub(crate) fn at(self, position: usize) -> f32 {
        1.0 + self.rate * ((position / self.every) as f32).ln_1p()
    }
}

/// How a file stores the matrices that read the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Matrices {
    /// Each as a tensor of its own.
    Separate,
    /// Queries, keys and values as one tensor, gate and up as another, one's rows behind the other's.
    Fused,
    /// Gate and up alone as one tensor.
    FusedGate,
}

/// What a token's features go through after attention.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum FeedForward {
    /// `down(activation(gate(x)) * up(x))` (Shazeer, arXiv:2002.05202).
    Gated {
        /// Features inside.
        size: usize,
    },
    /// There is none.
    Absent,
    /// `down(activation(up(x)))`.
    Plain {
        /// Features inside.
        size: usize,
    },
    /// Gated parts of which each token goes through a few.
    Experts(Experts),
}

/// How the tokens of a layer learn of those before them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Mixer {
    /// Attention.
    Attention,
    /// A convolution over a few tokens, between two gates (Liquid AI, "LFM2", arXiv:2511.23404).
    ShortConvolution {
        /// Tokens that it sees.
        taps: usize,
    },
    /// A memory that corrects itself (Yang et al., arXiv:2412.06464).
    GatedDelta(DeltaSpec),
    /// A state space with rates for each feature (Mamba, arXiv:2312.00752).
    SelectiveScan(SelectiveScanSpec),
    /// A state space with rates for each head (Mamba-2, arXiv:2405.21060).
    StateSpace(StateSpaceSpec),
}

/// Whether linear layers add a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bias {
    /// None does: a file with one is refused.
    Never,
    /// Each does: a file without one is refused.
    Always,
    /// All of a file's, or none: no key of the file says so, but a single bias asks for the others.
    AsStored,
}

/// Which linear layers add a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Biases {
    /// Those of queries, keys and values.
    pub inputs: Bias,
    /// Attention's last one.
    pub output: Bias,
    /// Those of the feed-forward part.
    pub feed_forward: Bias,
    /// The head's.
    pub head: Bias,
}

impl Biases {
    /// The same for all of a layer; none for the head.
    pub fn all(bias: Bias) -> Self {
        Self {
            inputs: bias,
            output: bias,
            feed_forward: bias,
            head: Bias::Never,
        }
    }

    /// With `AsStored` replaced by what is stored in `weights`.
    pub(crate) fn settled(self, weights: &Weights) -> Self {
        let settle = |bias: Bias, layers: &[&str]| {
            let stored = || {
                let mut names = weights
                    .names()
                    .filter_map(|name| name.strip_suffix(".bias"));
                names.any(|name| layers.iter().any(|layer| name.ends_with(layer)))
            };
            match bias {
                Bias::AsStored if stored() => Bias::Always,
                Bias::AsStored => Bias::Never,
                settled => settled,
            }
        };
        Self {
            inputs: settle(self.inputs, &[".attn_q", ".attn_k", ".attn_v", ".attn_qkv"]),
            output: settle(self.output, &[".attn_output"]),
            head: self.head,
            feed_forward: settle(self.feed_forward, &[".ffn_gate", ".ffn_up", ".ffn_down"]),
        }
    }
}

/// How far back a token sees in some layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Positions that a token sees, itself included.
    pub positions: usize,
    /// In which layers; in the others it sees all.
    pub layers: WindowLayers,
}

/// The layers that have a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowLayers {
    /// All.
    All,
    /// All but the last of each run of so many.
    Period(usize),
    /// Those that are listed with `true`.
    Listed(Vec<bool>),
}

impl Window {
    /// Reads `attention.sliding_window`, if it is there, and `attention.sliding_window_pattern`: a list of layers or a
    /// period. Without one, all layers but the last of each `period` have a window.
    ///
    /// # Errors
    /// If one of them is 0 or of another type, or the list has too few or too many layers.
    pub fn read(
        metadata: &Metadata,
        layers: usize,
        period: Option<usize>,
    ) -> Result<Option<Self>, ModelError> {
        let scoped = metadata.scoped()?;
        let Some(positions) = scoped.maybe("attention.sliding_window")? else {
            return Ok(None);
        };
        let key = scoped.key("attention.sliding_window");
        let fits = positions > 0;
        let positions = check(metadata, &key, positions, fits, "at least one position")?;
        let key = "attention.sliding_window_pattern";
        let layers = match scoped.value(key) {
            Some(Value::Array(_)) => WindowLayers::Listed(scoped.per_layer(key, layers)?),
            Some(_) => {
                let period = scoped.get::<usize>(key)?;
                check(
                    metadata,
                    &scoped.key(key),
                    period,
                    period > 0,
                    "at least one layer",
                )?;
                WindowLayers::Period(period)
            }
            None => period.map_or(WindowLayers::All, WindowLayers::Period),
        };
        Ok(Some(Self { positions, layers }))
    }

    /// The positions that a token sees in `layer`; `None` for all.
    pub fn of_layer(&self, layer: usize) -> Option<usize> {
        let has_window = match &self.layers {
            WindowLayers::All => true,
            WindowLayers::Period(period) => !(layer + 1).is_multiple_of(*period),
            WindowLayers::Listed(layers) => layers.get(layer).copied().unwrap_or(false),
        };
        has_window.then_some(self.positions)
    }
}
