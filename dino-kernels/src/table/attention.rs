//! The kernels of attention over one tile of the cache.

use super::Kernels;
use crate::kv::PAGE;
use half::f16;

/// Kernels of attention for one instruction set. `dim` is a multiple of 16 everywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionKernels {
    pub(crate) scores_f16: unsafe fn(&[f32], &[f16], &mut [f32]),
    pub(crate) scores_f32: unsafe fn(&[f32], &[f32], &mut [f32]),
    pub(crate) soften: unsafe fn(&mut [f32; PAGE], &mut Softness),
    pub(crate) values_f16: unsafe fn(&[f32], &[f16], usize, &mut [f32]),
    pub(crate) values_f32: unsafe fn(&[f32], &[f32], usize, &mut [f32]),
}

/// The running state of one row's softmax (Milakov and Gimelshein, arXiv:1805.02867).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Softness {
    /// The largest score so far.
    pub(crate) max: f32,
    /// The sum of `exp(score - max)` so far.
    pub(crate) sum: f32,
    /// What earlier results must be multiplied by, now that `max` may have grown.
    pub(crate) rescale: f32,
}

impl Softness {
    /// Nothing seen yet.
    pub(crate) const EMPTY: Self = Self {
        max: f32::NEG_INFINITY,
        sum: 0.0,
        rescale: 1.0,
    };
}

/// Cache elements that attention kernels read.
pub(crate) trait KvElement: Copy {
    fn scores(kernels: &AttentionKernels) -> unsafe fn(&[f32], &[Self], &mut [f32]);
    fn values(kernels: &AttentionKernels) -> unsafe fn(&[f32], &[Self], usize, &mut [f32]);
}

impl KvElement for f16 {
    fn scores(kernels: &AttentionKernels) -> unsafe fn(&[f32], &[Self], &mut [f32]) {
        kernels.scores_f16
    }
    fn values(kernels: &AttentionKernels) -> unsafe fn(&[f32], &[Self], usize, &mut [f32]) {
        kernels.values_f16
    }
}

impl KvElement for f32 {
    fn scores(kernels: &AttentionKernels) -> unsafe fn(&[f32], &[Self], &mut [f32]) {
        kernels.scores_f32
    }
    fn values(kernels: &AttentionKernels) -> unsafe fn(&[f32], &[Self], usize, &mut [f32]) {
        kernels.values_f32
    }
}

impl Kernels {
    /// `scores = queries · keys`: `[rows, dim] · [dim, PAGE] -> [rows, PAGE]`.
    pub(crate) fn scores<E: KvElement>(&self, queries: &[f32], keys: &[E], scores: &mut [f32]) {
        let (dim, rows) = (keys.len() / PAGE, scores.len() / PAGE);
        assert!(
            dim.is_multiple_of(16) && keys.len() == dim * PAGE,
            "a tile of keys"
        );
        assert!(
            scores.len() == rows * PAGE && queries.len() == rows * dim,
            "rows of queries"
        );
        // SAFETY: the table is only handed out where its set was detected; lengths were checked.
        unsafe { E::scores(&self.attention)(queries, keys, scores) }
    }

    /// Turns scores into weights `exp(score - max)` in place, and moves the row's softmax on.
    ///
    /// Scores of minus infinity become zero; at least one score of the row so far must be finite.
    pub(crate) fn soften(&self, scores: &mut [f32; PAGE], state: &mut Softness) {
        // SAFETY: detection as above; the array has its length.
        unsafe { (self.attention.soften)(scores, state) }
    }

    /// `output += weights · values` over the first `count` positions: `[rows, PAGE] · [PAGE, dim]`.
    pub(crate) fn values<E: KvElement>(
        &self,
        weights: &[f32],
        values: &[E],
        count: usize,
        output: &mut [f32],
    ) {
        let (dim, rows) = (values.len() / PAGE, weights.len() / PAGE);
        assert!(
            dim.is_multiple_of(16) && values.len() == dim * PAGE,
            "a tile of values"
        );
        assert!(
            weights.len() == rows * PAGE && output.len() == rows * dim,
            "rows of output"
        );
        assert!(count <= PAGE, "positions of the tile");
        // SAFETY: detection as above; lengths were checked.
        unsafe { E::values(&self.attention)(weights, values, count, output) }
    }
}
