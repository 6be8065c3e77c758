//! The block formats: layout and meaning of each, and nothing faster.
//!
//! A format is a `#[repr(C)]` struct without alignment whose doc comment draws its bytes. Its scalar
//! [`Block::dequantize`] *is the definition* of the format: encoders invert it, kernels are tested against it.
//!
//! Every quantized format says the same thing, `value = scale * code - min`, and differs in how it stores the
//! three; [`Quantized`] gives them one by one, so that a packer reads any format without knowing its bytes.
//! The formats are those of ggml (<https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h>), and so
//! is the order of the roundings: the scale of a group is rounded to f32 before it meets the code, the product
//! before it meets the minimum.

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

use crate::{DType, cast};
use bytemuck::Pod;

/// A fixed number of values stored together.
pub trait Block: Pod {
    /// The type whose block this is.
    const DTYPE: DType;

    /// Writes the values of this block.
    ///
    /// # Panics
    /// If `out` does not hold exactly [`DType::block_len`] values.
    fn dequantize(&self, out: &mut [f32]);
}

/// A block of small integers, a few of which share a scale and a minimum.
///
/// Value `i` is `scale * codes()[i] - min`, where `(scale, min) = factors(i / GROUP)`.
pub trait Quantized: Block {
    /// Values that share a scale; divides the length of the block.
    const GROUP: usize;

    /// `[i8; n]` for a block of `n` values.
    type Codes: AsRef<[i8]>;

    /// The integers in the order of their values, with the format's offset or codebook applied.
    fn codes(&self) -> Self::Codes;

    /// Scale and minimum of group `group`; the minimum is 0 where the format has none.
    ///
    /// # Panics
    /// If the block has no such group.
    fn factors(&self, group: usize) -> (f32, f32);
}

/// Writes the f32 values of `bytes`, a run of blocks of `dtype`, to `out`.
///
/// # Panics
/// If `bytes` and `out` do not hold the same number of whole blocks.
pub fn dequantize(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        DType::F32 => dequantize_run::<F32>(bytes, out),
        DType::F16 => dequantize_run::<F16>(bytes, out),
        DType::BF16 => dequantize_run::<BF16>(bytes, out),
        DType::Q4_0 => dequantize_run::<Q4_0>(bytes, out),
        DType::Q4_1 => dequantize_run::<Q4_1>(bytes, out),
        DType::Q5_0 => dequantize_run::<Q5_0>(bytes, out),
        DType::Q5_1 => dequantize_run::<Q5_1>(bytes, out),
        DType::Q8_0 => dequantize_run::<Q8_0>(bytes, out),
        DType::Q2_K => dequantize_run::<Q2_K>(bytes, out),
        DType::Q3_K => dequantize_run::<Q3_K>(bytes, out),
        DType::Q4_K => dequantize_run::<Q4_K>(bytes, out),
        DType::Q5_K => dequantize_run::<Q5_K>(bytes, out),
        DType::Q6_K => dequantize_run::<Q6_K>(bytes, out),
        DType::IQ4_NL => dequantize_run::<IQ4_NL>(bytes, out),
        DType::IQ4_XS => dequantize_run::<IQ4_XS>(bytes, out),
        DType::MXFP4 => dequantize_run::<MXFP4>(bytes, out),
    }
}

fn dequantize_run<B: Block>(bytes: &[u8], out: &mut [f32]) {
    let (dtype, length) = (B::DTYPE, bytes.len());
    let Some(blocks) = cast::blocks::<B>(bytes) else {
        panic!("{length} bytes are not a whole number of {dtype} blocks");
    };
    let values = out.len();
    assert_eq!(
        blocks.len() * dtype.block_len(),
        values,
        "{length} bytes of {dtype} do not hold {values} values"
    );
    for (block, out) in blocks.iter().zip(out.chunks_exact_mut(dtype.block_len())) {
        block.dequantize(out);
    }
}

/// The definition that all quantized formats share.
fn dequantize_groups<B: Quantized>(block: &B, out: &mut [f32]) {
    let codes = block.codes();
    let codes = codes.as_ref();
    assert_eq!(out.len(), codes.len(), "values of a {} block", B::DTYPE);
    let groups = codes.chunks_exact(B::GROUP);
    for (group, (codes, out)) in groups.zip(out.chunks_exact_mut(B::GROUP)).enumerate() {
        let (scale, min) = block.factors(group);
        for (out, &code) in out.iter_mut().zip(codes) {
            // Taking away a minimum of 0 changes no bit, the sign of a zero included.
            *out = scale * f32::from(code) - min;
        }
    }
}
