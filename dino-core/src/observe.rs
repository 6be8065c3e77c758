//! The door through which a running model is watched.

use ndarray::ArrayView2;

/// Sees what goes into the linear layers of a model while it runs.
///
/// `dino-models` calls it and `dino-quant` implements it, to find out which columns of a weight matter.
pub trait Observe: Send + Sync {
    /// `rows`, `[tokens, in_features]`, are multiplied by the weight of this name, e.g. `blk.0.attn_q.weight`.
    fn linear_input(&self, weight: &str, rows: ArrayView2<'_, f32>);
}
