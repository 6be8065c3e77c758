//! What every encoder can do.

use super::Pooling;
use crate::ModelError;
use dino_kernels::Compute;
use ndarray::Array2;

/// Sizes of an encoder that its users need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncoderConfig {
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Tokens that a text may have: as many as there are positions, or fewer where the file says that texts are cut
    /// before.
    pub context_length: usize,
    /// Features of a token.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// How the features of a text are made from those of its tokens, if the file says.
    pub pooling: Option<Pooling>,
    /// Whether vectors are to be made as long as 1, if the file says.
    pub normalize: Option<bool>,
    /// Weights.
    pub parameters: usize,
}

/// A model that gives each token features, in which it has seen the whole text.
pub trait Encoder: Send + Sync {
    /// Its sizes.
    fn config(&self) -> &EncoderConfig;

    /// The features of the tokens of all texts, behind each other: `[tokens, hidden]`. Texts do not see each other.
    ///
    /// # Errors
    /// [`ModelError::TokenOutOfRange`], [`ModelError::ContextOverflow`].
    fn encode(&self, compute: &Compute, texts: &[&[u32]]) -> Result<Array2<f32>, ModelError>;
}
