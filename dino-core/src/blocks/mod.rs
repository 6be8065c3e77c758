//! The block formats: layout and meaning of each, and nothing faster.
//!
//! A format is a `#[repr(C)]` struct without alignment whose doc comment draws its bytes. Its scalar
//! [`Block::dequantize`] *is the definition* of the format: encoders invert it, kernels are tested against it.
//!
//! Every quantized format says the same thing, `value = scale * code - min`, and differs in how it stores the
//! three; [`Quantized`] gives them one by one, so that a packer reads any format without knowing its bytes.
//! The formats are those of ggml (<https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h>), and so
//! is the order of the roundings: the scale of a group is rounded to f32 before it meets the code, the product
//! before it meets the minimum. The PyPI package `gguf` agrees with it to the bit.

mod block;
mod float;
mod iq4;
mod mxfp4;
mod planes;
mod pod;
mod q2_k;
mod q3_k;
mod q4;
mod q4_k;
mod q5;
mod q5_k;
mod q6_k;
mod q8;
mod six_bit;

use block::dequantize_groups;
pub use block::{Block, Quantized, dequantize};
pub use float::{BF16, F16, F32};
pub use iq4::{IQ4_NL, IQ4_VALUES, IQ4_XS};
pub use mxfp4::{MXFP4, MXFP4_VALUES, e8m0_to_f32};
pub use q2_k::Q2_K;
pub use q3_k::Q3_K;
pub use q4::{Q4_0, Q4_1};
pub use q4_k::Q4_K;
pub use q5::{Q5_0, Q5_1};
pub use q5_k::Q5_K;
pub use q6_k::Q6_K;
pub use q8::Q8_0;
pub use six_bit::SixBitPairs;
