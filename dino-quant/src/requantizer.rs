//! Re-encoding the weights of a model while it loads.

use crate::QuantError;
use crate::quantize::{can_encode, quantize_row};
use dino_core::storage::AlignedBytes;
use dino_core::{CoreError, DType, Requantize, Storage, Tensor, blocks};
use rayon::prelude::*;

/// Holds the matrices of a model in one type, whatever type the file has them in.
///
/// Vectors (norms, biases) and matrices whose rows are not whole blocks of the type stay as they are.
#[derive(Clone, Copy, Debug)]
pub struct BlockRequantizer {
    target: DType,
}

impl BlockRequantizer {
    /// Re-encodes to `target`.
    ///
    /// # Errors
    /// [`QuantError::NoEncoder`] if `target` can only be read.
    pub fn new(target: DType) -> Result<Self, QuantError> {
        if can_encode(target) {
            Ok(Self { target })
        } else {
            Err(QuantError::NoEncoder(target))
        }
    }
}

impl Requantize for BlockRequantizer {
    fn target(&self, tensor: &Tensor) -> Option<DType> {
        let is_matrix = tensor.shape().len() >= 2;
        let fits = self.target.row_bytes(tensor.columns()).is_some();
        (is_matrix && fits && tensor.dtype() != self.target).then_some(self.target)
    }

    fn requantize(&self, tensor: &Tensor, target: DType) -> Result<Tensor, CoreError> {
        let size = Tensor::byte_size(tensor.name(), target, tensor.shape())?;
        let mut bytes = AlignedBytes::zeroed(size);
        if size > 0 {
            encode_rows(tensor, target, bytes.as_mut_slice()).map_err(|source| {
                CoreError::Requantize {
                    name: tensor.name().into(),
                    dtype: target,
                    source: source.into(),
                }
            })?;
        }
        Tensor::new(
            tensor.name(),
            target,
            tensor.shape(),
            Storage::from_aligned(bytes),
        )
    }
}

/// A row at a time, so that the f32 values of a whole tensor are never in memory.
fn encode_rows(tensor: &Tensor, target: DType, out: &mut [u8]) -> Result<(), QuantError> {
    let row_bytes = out.len() / tensor.rows();
    out.par_chunks_exact_mut(row_bytes)
        .enumerate()
        .try_for_each_init(
            || vec![0.0; tensor.columns()],
            |values, (row, out)| {
                blocks::dequantize(tensor.dtype(), tensor.row(row), values);
                quantize_row(target, values, out).map_err(|e| e.in_row(row))
            },
        )
}
