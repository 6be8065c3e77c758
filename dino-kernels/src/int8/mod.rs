//! Linear layers on plain 8-bit integers: weights with one scale a row, inputs with one scale a token or one for all.
//!
//! The block formats give every 16 or 32 values a scale of their own, so that a product is scaled and added in f32 after
//! each of them. Here a row of weights is one *channel* with one scale, and a token has one, too: the whole sum over
//! `in_features` stays in 32-bit integers, exactly, and is scaled once, at its end.
//!
//! ```text
//! y[t, r] = scale[t] · scale[r] · ( Σ_k code[t, k] · code[r, k]  -  zero[t] · Σ_k code[r, k] )
//! ```
//!
//! 1. Weights are symmetric, codes -127…127. Inputs are symmetric (`zero` is that of 0) or asymmetric.
//! 2. Codes of inputs are stored as unsigned bytes, 128 above their meaning: what `vpdpbusd` and `tdpbusd` take beside the
//!    weights as they lie. What that adds is one more part of `zero`, and `Σ_k code[r, k]` is known since packing.
//! 3. Sums of integers do not depend on their order, and two multiplications follow: every instruction set, every number of
//!    tokens and threads gives the same bits.
//!
//! What one scale for so many values costs in precision, and what calibration gets back of it: `docs/quantization.md`.

mod input;
mod rows;

pub use input::{Int8Input, Int8Range};
pub use rows::Int8Rows;

/// The most columns of a weight: sums of that many products of 8 bits fit in 32.
pub const INT8_MAX_COLUMNS: usize = 1 << 16;

#[cfg(test)]
mod tests;
