//! The operations of a forward pass, one file each: shapes, checks, the split into chunks, the table call.
//!
//! Activations are views of shape `[tokens, features]` in standard layout. A shape that does not fit is a
//! caller's bug and panics; what a user's data can get wrong is a [`KernelError`](crate::KernelError).

// Views are pointers with a shape: they are passed by value, as ndarray's own functions take them.
#![allow(clippy::needless_pass_by_value)]

mod activation;
mod attention;
mod bidirectional;
mod elementwise;
mod embedding;
mod experts;
mod linear;
mod norm;
mod recurrent;
mod rope;
mod rows;
mod softmax;

pub use activation::{
    activate, activate_gate, activate_gate_quantized, gate_by_sigmoid, limited_gate,
};
pub use attention::{Attention, AttentionScratch, AttentionSpan, append, attend};
pub use bidirectional::{BidirectionalAttention, attend_all};
pub use elementwise::{
    add, add_scaled, exp, multiply, scale, scale_columns, sigmoid, soft_cap, softplus,
};
pub use embedding::{EmbeddingTable, embed};
pub use experts::{Choices, add_choices, gather, linear_each, scale_by_sigmoid};
pub use linear::{Linear, LinearInput, linear};
pub use norm::{
    layer_norm, layer_norm_heads, layer_norm_quantized, rms_norm, rms_norm_heads,
    rms_norm_quantized,
};
pub use recurrent::{
    Convolution, DeltaInput, DeltaRule, ScanInput, SelectiveScan, StateSpace, StateSpan, convolve,
    gated_delta, selective_scan, state_space,
};
pub use rope::{Llama3Scaling, RopeAngles, RopeFrequencies, RopePairing, YarnScaling, rope};
pub use softmax::softmax;

#[cfg(test)]
mod sparse_tests;
