//! The kernels of attention over one tile of the cache.

use super::{Kernels, PairKernels};
use crate::kv::{PAGE, Plane};

/// Kernels of attention for one instruction set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionKernels {
    pub(crate) scores: unsafe fn(&[f32], Plane<'_>, &mut [f32], Ahead<'_>),
    pub(crate) soften: unsafe fn(&mut [f32], &[f32], &mut [Softness]),
    pub(crate) values: unsafe fn(&[f32], Plane<'_>, usize, &mut [f32], Ahead<'_>),
    pub(crate) widen_keys: unsafe fn(Plane<'_>, &mut [f32]),
    pub(crate) widen_values: unsafe fn(Plane<'_>, &mut [f32]),
    /// Where products with bf16 planes are products of pairs, which round the left side to bf16 too.
    pub(crate) pairs: Option<PairKernels>,
}

/// Memory that the next product will read, which a kernel may fetch while it computes.
///
/// A plane is a few pages of memory far from the last one, and there the processor's own prefetchers stop. All of it at
/// once would hold up what is being computed; a little with each row costs nothing.
pub(crate) type Ahead<'a> = &'a [u8];

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

    /// Moves on to the greatest score of one more page, if it is greater; returns the greatest of all.
    #[inline]
    pub(crate) fn raise(&mut self, max: f32) -> f32 {
        let max = self.max.max(max);
        // Most tiles hold no new maximum, and the exponential is dear.
        self.rescale = if max == self.max {
            1.0
        } else {
            (self.max - max).exp()
        };
        self.max = max;
        max
    }
}

impl Kernels {
    /// `scores = queries · keys`: `[rows, dim] · [dim, PAGE] -> [rows, PAGE]`.
    pub(crate) fn scores(
        &self,
        queries: &[f32],
        keys: Plane<'_>,
        scores: &mut [f32],
        ahead: Ahead<'_>,
    ) {
        let rows = scores.len() / PAGE;
        assert!(keys.is_whole(), "a plane of keys");
        assert!(
            scores.len() == rows * PAGE && queries.len() == rows * keys.dim(),
            "rows of queries"
        );
        // SAFETY: the table is only handed out where its set was detected; lengths were checked.
        unsafe { (self.attention.scores)(queries, keys, scores, ahead) }
    }

    /// Turns scores `[rows, PAGE]`, from which the row's base is missing, into weights `exp(score + base - max)` in place,
    /// and moves each row's softmax on.
    ///
    /// Scores of minus infinity become zero; at least one score of each row so far must be finite.
    pub(crate) fn soften(&self, scores: &mut [f32], bases: &[f32], states: &mut [Softness]) {
        assert_eq!(scores.len(), states.len() * PAGE, "a state for each row");
        assert_eq!(bases.len(), states.len(), "a base for each row");
        // SAFETY: detection as above; lengths were checked.
        unsafe { (self.attention.soften)(scores, bases, states) }
    }

    /// `output += weights · values` over the first `count` positions: `[rows, PAGE] · [PAGE, dim]`.
    pub(crate) fn values(
        &self,
        weights: &[f32],
        values: Plane<'_>,
        count: usize,
        output: &mut [f32],
        ahead: Ahead<'_>,
    ) {
        let rows = weights.len() / PAGE;
        assert!(values.is_whole(), "a plane of values");
        assert!(
            weights.len() == rows * PAGE && output.len() == rows * values.dim(),
            "rows of output"
        );
        assert!(count <= PAGE, "positions of the plane");
        // SAFETY: detection as above; lengths were checked.
        unsafe { (self.attention.values)(weights, values, count, output, ahead) }
    }

    /// The kernels for planes of bf16, where pairs of bf16 are multiplied.
    pub(crate) fn pairs(&self) -> Option<&PairKernels> {
        self.attention.pairs.as_ref()
    }

    /// The elements of `keys`, `[dim, PAGE]`.
    pub(crate) fn widen_keys(&self, keys: Plane<'_>, wide: &mut [f32]) {
        assert!(
            keys.is_whole() && wide.len() == keys.dim() * PAGE,
            "a plane"
        );
        // SAFETY: detection as above; lengths were checked.
        unsafe { (self.attention.widen_keys)(keys, wide) }
    }

    /// The elements of `values`, `[PAGE, dim]`.
    pub(crate) fn widen_values(&self, values: Plane<'_>, wide: &mut [f32]) {
        assert!(
            values.is_whole() && wide.len() == values.dim() * PAGE,
            "a plane"
        );
        // SAFETY: detection as above; lengths were checked.
        unsafe { (self.attention.widen_values)(values, wide) }
    }
}
