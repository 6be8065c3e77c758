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

/// A format that values can be encoded to, `N` to a block.
pub(crate) trait Encode<const N: usize>: Block {
    /// The block nearest to `values`; any block if they are not finite.
    fn encode(values: &[f32; N]) -> Self;
}
