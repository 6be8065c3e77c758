//! The parts that decoders differ in.

use super::spec::check;
use crate::ModelError;
use crate::format::{Metadata, Weights};

/// A normalisation of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Norm {
    /// By the root mean square (Zhang and Sennrich, arXiv:1910.07467).
    Rms {
        /// Added to the mean square.
        epsilon: f32,
    },
}

/// Where a layer normalises (Xiong et al., arXiv:2002.04745).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Norms {
    /// What each part reads.
    Pre,
    /// What each part adds to the residual stream (OLMo 2, arXiv:2501.00656).
    Post,
    /// Both (Gemma 2, arXiv:2408.00118).
    Sandwich,
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
}

/// How a file stores the matrices that read the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Matrices {
    /// Each as a tensor of its own.
    Separate,
    /// Queries, keys and values as one tensor, gate and up as another, one's rows behind the other's.
    Fused,
}

/// What a token's features go through after attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedForward {
    /// `down(activation(gate(x)) * up(x))` (Shazeer, arXiv:2002.05202).
    Gated {
        /// Features inside.
        size: usize,
    },
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
}

impl Biases {
    /// The same for all.
    pub fn all(bias: Bias) -> Self {
        Self {
            inputs: bias,
            output: bias,
            feed_forward: bias,
        }
    }

    /// With `AsStored` replaced by what is stored in `weights`.
    pub(crate) fn settled(self, weights: &Weights) -> Self {
        let settle = |bias: Bias, layers: &[&str]| {
            let stored = || {
                let mut names = weights
                    .iter()
                    .filter_map(|t| t.name().strip_suffix(".bias"));
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
            feed_forward: settle(self.feed_forward, &[".ffn_gate", ".ffn_up", ".ffn_down"]),
        }
    }
}

/// How far back a token sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Positions that a token sees, itself included.
    pub positions: usize,
    /// Every so many layers one sees all positions instead: the last of each run. `None` if no layer does.
    pub period: Option<usize>,
}

impl Window {
    /// Reads `attention.sliding_window`, if it is there.
    ///
    /// # Errors
    /// If it is 0 or no number.
    pub fn read(metadata: &Metadata, period: Option<usize>) -> Result<Option<Self>, ModelError> {
        let scoped = metadata.scoped()?;
        let Some(positions) = scoped.maybe("attention.sliding_window")? else {
            return Ok(None);
        };
        let key = scoped.key("attention.sliding_window");
        let fits = positions > 0;
        let positions = check(metadata, &key, positions, fits, "at least one position")?;
        Ok(Some(Self { positions, period }))
    }

    /// The positions that a token sees in `layer`; `None` for all.
    pub fn of_layer(self, layer: usize) -> Option<usize> {
        let sees_all = self
            .period
            .is_some_and(|period| (layer + 1).is_multiple_of(period));
        (!sees_all).then_some(self.positions)
    }
}
