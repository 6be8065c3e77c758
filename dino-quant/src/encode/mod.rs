//! The encoders: values to one block, the inverse of that format's `dequantize`.
//!
//! There are two kinds. The *simple* formats (Q4_0 to Q8_0, MXFP4) have a rounding of reference, which takes the scale
//! from the largest value; without importance they are encoded by it, and the bytes are those of ggml and of the PyPI
//! package `gguf`. (That one differs in one case without meaning, the sign of the scale of a block of zeros that starts
//! with a negative one.) With importance, and always for the other formats, whose bytes no specification fixes, the
//! scales are *searched*: `search` finds those of a group, [`affine`] and [`symmetric`] make the groups of a block agree
//! on what they share. What is made small is the error that a user sees, `Σ importance · (value - decoded)²`, with the
//! scales as they are stored.

mod affine;
mod float;
mod iq4;
mod k_quants;
mod mxfp4;
mod planes;
mod q4;
mod q5;
mod q8;
mod range;
mod recode;
mod search;
mod simple;
mod symmetric;

pub(crate) use recode::Recode;

use dino_core::blocks::Block;

/// A format that values can be encoded to, `N` to a block.
pub(crate) trait Encode<const N: usize>: Block {
    /// The block nearest to `values`, an error in each of which costs its square times the `importance` of its
    /// place, or 1; any block if they are not finite.
    fn encode(values: &[f32; N], importance: Option<&[f32; N]>) -> Self;
}
