//! The encoders: values to one block, the inverse of that format's `dequantize`.
//!
//! Each rounds as ggml's reference does, so the bytes are the same as from its tools: the scale that turns
//! values into codes is the f32 one, although the block stores it rounded to f16. (The PyPI package `gguf` differs in
//! one case without meaning, the sign of the scale of a block of zeros that starts with a negative one.)

mod float;
mod planes;
mod q4;
mod q5;
mod q8;
mod range;

use dino_core::blocks::Block;

/// A format that values can be encoded to.
pub(crate) trait Encode: Block {
    /// The block nearest to `values`, which are as many as a block holds and finite.
    fn encode(values: &[f32]) -> Self;
}
