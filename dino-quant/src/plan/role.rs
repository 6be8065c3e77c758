//! What a tensor is for, by its GGUF name.

use dino_core::DType;

/// What a plan is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorFacts {
    /// Its name.
    pub name: String,
    /// Its dimensions, rows first.
    pub shape: Vec<usize>,
    /// The type that it has.
    pub dtype: DType,
}

impl TensorFacts {
    /// Values in a row.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Values in all.
    pub fn len(&self) -> u64 {
        self.shape
            .iter()
            .map(|&dimension| dimension as u64)
            .product()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes as `dtype`; rows must fit it.
    pub fn bytes(&self, dtype: DType) -> u64 {
        self.len() / dtype.block_len() as u64 * dtype.block_bytes() as u64
    }

    /// The block (layer) that it belongs to: 3 for `blk.3.attn_q.weight`.
    pub fn layer(&self) -> Option<usize> {
        self.name
            .strip_prefix("blk.")?
            .split('.')
            .next()?
            .parse()
            .ok()
    }
}

/// Whether a tensor is one of the matrices that are quantized: not norms, biases and other vectors, nor the small
/// matrices whose errors would cost more than their bytes (routers, convolutions, positions).
pub fn is_quantizable(tensor: &TensorFacts) -> bool {
    const KEPT: [&str; 8] = [
        "_norm.weight",
        "ffn_gate_inp",
        "ssm_conv1d",
        "shortconv.conv",
        "position_embd",
        "token_types",
        "rope_freqs",
        "attn_rel_b",
    ];
    tensor.shape.len() >= 2
        && tensor.name.ends_with("weight")
        && !KEPT.iter().any(|kept| tensor.name.contains(kept))
}

/// The matrices that presets treat differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The vocabulary head, or the embedding table where it is both.
    Head,
    Embedding,
    AttentionValue,
    AttentionOutput,
    AttentionFused,
    Down,
    Other,
}

impl Role {
    pub(super) fn of(tensor: &TensorFacts, has_head: bool) -> Self {
        let name = tensor.name.as_str();
        match name {
            "output.weight" => Self::Head,
            "token_embd.weight" if has_head => Self::Embedding,
            "token_embd.weight" => Self::Head,
            _ if name.contains("attn_v.weight") => Self::AttentionValue,
            _ if name.contains("attn_output.weight") => Self::AttentionOutput,
            _ if name.contains("attn_qkv.weight") => Self::AttentionFused,
            _ if name.contains("ffn_down") => Self::Down,
            _ => Self::Other,
        }
    }
}
