//! What a format has to say, and the walk over a run of its blocks.

use super::{
    BF16, F16, F32, IQ4_NL, IQ4_XS, MXFP4, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K,
    Q8_0,
};
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
pub(super) fn dequantize_groups<B: Quantized>(block: &B, out: &mut [f32]) {
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
