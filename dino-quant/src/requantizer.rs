//! Re-encoding the weights of a model while it loads.

use crate::QuantError;
use crate::can_encode;
use crate::tensor::encode_tensor;
use dino_core::{CoreError, DType, Requantize, Storage, Tensor};

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
    fn identity(&self) -> Option<String> {
        Some(self.target.to_string())
    }

    fn target(&self, tensor: &Tensor) -> Option<DType> {
        let is_matrix = tensor.shape().len() >= 2;
        let fits = self.target.row_bytes(tensor.columns()).is_some();
        (is_matrix && fits && tensor.dtype() != self.target).then_some(self.target)
    }

    fn requantize(&self, tensor: &Tensor, target: DType) -> Result<Tensor, CoreError> {
        // Refuses what has no size before anything is allocated.
        Tensor::byte_size(tensor.name(), target, tensor.shape())?;
        let encoded =
            encode_tensor(tensor, target, None).map_err(|source| CoreError::Requantize {
                name: tensor.name().into(),
                dtype: target,
                source: source.into(),
            })?;
        Tensor::new(
            tensor.name(),
            target,
            tensor.shape(),
            Storage::from_aligned(encoded.bytes),
        )
    }
}
