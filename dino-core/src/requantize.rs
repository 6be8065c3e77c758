//! The door through which a loader asks for another type than the file's.

use crate::{CoreError, DType, Tensor};

/// Re-encodes weights while a model loads.
///
/// `dino-models` calls it and `dino-quant` implements it; neither knows the other.
pub trait Requantize: Send + Sync {
    /// What this encoder is, settings included: two with equal identities give equal bytes. `None`, the default, if
    /// that cannot be said; then what it gives cannot be kept in a file for later loads.
    fn identity(&self) -> Option<String> {
        None
    }

    /// The type that `tensor` is to be held in; `None` leaves it as it is.
    fn target(&self, tensor: &Tensor) -> Option<DType>;

    /// `tensor` encoded as `target`.
    ///
    /// # Errors
    /// [`CoreError::Requantize`], with the encoder's own error as its source, if a value cannot be stored; those
    /// of [`Tensor::byte_size`] if the shape cannot.
    fn requantize(&self, tensor: &Tensor, target: DType) -> Result<Tensor, CoreError>;
}
