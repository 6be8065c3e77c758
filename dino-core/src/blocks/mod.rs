//! The block formats: layout and meaning of each, and nothing faster.
//!
//! A format is a `#[repr(C)]` struct without alignment whose doc comment draws its bytes. Its scalar
//! [`Block::dequantize`] *is the definition* of the format: encoders invert it, kernels are tested against it.

use crate::DType;
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

/// Writes the f32 values of `bytes`, a run of blocks of `dtype`, to `out`.
///
/// # Panics
/// If `bytes` and `out` do not hold the same number of whole blocks.
pub fn dequantize(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    let _ = (dtype, bytes, out);
    unimplemented!("the blocks land in the next commit")
}
