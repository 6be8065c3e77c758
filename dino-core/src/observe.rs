//! The door through which a running model is watched.

use ndarray::ArrayView2;

/// A matrix that is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightPlace<'a> {
    /// The name of the weight, e.g. `blk.0.attn_q.weight`.
    pub name: &'a str,
    /// Which matrix of a stack it is, such as that of one expert; 0 where the weight is one matrix.
    pub matrix: usize,
    /// Matrices of the stack.
    pub matrices: usize,
}

/// Sees what goes into the linear layers of a model while it runs, and what its layers make of the residual stream.
///
/// `dino-models` calls it and `dino-quant` implements it, to find out which columns of a weight matter, and which layers.
pub trait Observe: Send + Sync {
    /// `rows`, `[tokens, in_features]`, are multiplied by the matrix at `place`.
    fn linear_input(&self, place: WeightPlace<'_>, rows: ArrayView2<'_, f32>);

    /// `rows`, `[tokens, hidden]`, are the residual stream before layer `layer`; behind the last one, `layer` is how many
    /// there are. Provided for those who do not care.
    fn residual(&self, _layer: usize, _rows: ArrayView2<'_, f32>) {}
}
