//! The kernels of attention over planes of bf16, for processors that multiply pairs of them.
//!
//! Few rows keep the order of every other type, positions or features along the registers. Many rows lie along the
//! registers themselves, `[…, width]`: a key or a value is then the factor that all lanes share, and the softmax of
//! sixteen rows takes no step across lanes. The order of every sum is the same both ways.

use super::{Ahead, Softness};
use crate::kv::PAGE;
use half::bf16;

/// Kernels of attention over pairs of bf16 for one instruction set.
///
/// A word is a pair, the first in its low half.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PairKernels {
    pub(crate) bases: unsafe fn(&[f32], &[bf16], &mut [f32]),
    pub(crate) soften: unsafe fn(&mut [f32], &[f32], &mut [Softness]),
    pub(crate) lanes: LaneKernels,
}

/// Those for many rows, along the registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneKernels {
    pub(crate) turn_queries: unsafe fn(&[f32], usize, &mut [u32], usize),
    pub(crate) bases: unsafe fn(&[u32], &[bf16], &mut [f32]),
    pub(crate) scores: unsafe fn(&[u32], &[bf16], &mut [f32], Ahead<'_>),
    pub(crate) soften: unsafe fn(&mut [f32], &mut [u32], Option<Seen<'_>>, LaneStates<'_>),
    pub(crate) values: unsafe fn(&LaneWeights<'_>, &[bf16], &mut [f32], Ahead<'_>),
    pub(crate) turn_sums: unsafe fn(&[f32], usize, &mut [f32], usize),
}

/// Rows in a register.
pub(crate) const LANES: usize = 16;

/// Which slots of the page each row sees: from `first` to before `end`.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) first: &'a [i32],
    pub(crate) end: &'a [i32],
}

/// What [`Softness`] is for each of `width` rows, and what is missing from the row's scores.
pub(crate) struct LaneStates<'a> {
    pub(crate) bases: &'a [f32],
    pub(crate) max: &'a mut [f32],
    pub(crate) sum: &'a mut [f32],
    pub(crate) rescale: &'a mut [f32],
}

/// The weights of `count` slots, `[PAGE / 2, width]` words, and what sums of earlier pages are multiplied by.
pub(crate) struct LaneWeights<'a> {
    pub(crate) words: &'a [u32],
    pub(crate) count: usize,
    pub(crate) rescale: &'a [f32],
}

impl PairKernels {
    /// The scores of what keys are centered on, one for each row of `queries` (`[rows, dim]`).
    pub(crate) fn bases(&self, queries: &[f32], center: &[bf16], bases: &mut [f32]) {
        assert!(center.len().is_multiple_of(2), "pairs of features");
        assert_eq!(queries.len(), bases.len() * center.len(), "rows of queries");
        // SAFETY: the table is only handed out where its set was detected; lengths were checked.
        unsafe { (self.bases)(queries, center, bases) }
    }

    /// As [`crate::Kernels::soften`], for weights that will be rounded to bf16: their sum is that of the rounded ones.
    pub(crate) fn soften(&self, scores: &mut [f32], bases: &[f32], states: &mut [Softness]) {
        assert_eq!(scores.len(), states.len() * PAGE, "a state for each row");
        assert_eq!(bases.len(), states.len(), "a base for each row");
        // SAFETY: detection as above; lengths were checked.
        unsafe { (self.soften)(scores, bases, states) }
    }
}

impl LaneKernels {
    /// Rounds queries `[rows, dim]` and turns them to `[dim / 2, width]` words, zero for rows that are missing.
    pub(crate) fn turn_queries(
        &self,
        queries: &[f32],
        dim: usize,
        words: &mut [u32],
        width: usize,
    ) {
        let rows = queries.len() / dim;
        assert!(
            dim.is_multiple_of(LANES) && width.is_multiple_of(LANES),
            "whole registers"
        );
        assert!(
            queries.len() == rows * dim && rows <= width,
            "rows of queries"
        );
        assert_eq!(words.len(), dim / 2 * width, "words of queries");
        // SAFETY: the table is only handed out where its set was detected; lengths were checked.
        unsafe { (self.turn_queries)(queries, dim, words, width) }
    }

    /// The scores of what keys are centered on, `[width]`.
    pub(crate) fn bases(&self, queries: &[u32], center: &[bf16], bases: &mut [f32]) {
        assert!(bases.len().is_multiple_of(LANES), "whole registers");
        assert!(center.len().is_multiple_of(2), "pairs of features");
        assert_eq!(
            queries.len(),
            center.len() / 2 * bases.len(),
            "words of queries"
        );
        // SAFETY: detection as above; lengths were checked.
        unsafe { (self.bases)(queries, center, bases) }
    }

    /// `scores = keys · queries`: `[PAGE, dim] · [dim, width] -> [PAGE, width]`.
    pub(crate) fn scores(
        &self,
        queries: &[u32],
        keys: &[bf16],
        scores: &mut [f32],
        ahead: Ahead<'_>,
    ) {
        let width = scores.len() / PAGE;
        assert!(
            width.is_multiple_of(LANES) && scores.len() == width * PAGE,
            "whole registers"
        );
        assert!(keys.len().is_multiple_of(2 * PAGE), "a plane of keys");
        assert_eq!(
            queries.len(),
            keys.len() / PAGE / 2 * width,
            "words of queries"
        );
        // SAFETY: detection as above; lengths were checked.
        unsafe { (self.scores)(queries, keys, scores, ahead) }
    }

    /// Turns scores `[PAGE, width]` into the words of weights, `[PAGE / 2, width]`, and moves each row's softmax on. Slots
    /// that a row does not see get no weight.
    pub(crate) fn soften(
        &self,
        scores: &mut [f32],
        weights: &mut [u32],
        seen: Option<Seen<'_>>,
        states: LaneStates<'_>,
    ) {
        let width = states.max.len();
        assert!(width.is_multiple_of(LANES), "whole registers");
        assert!(
            [states.bases.len(), states.sum.len(), states.rescale.len()] == [width; 3],
            "a state for each row"
        );
        assert!(
            scores.len() == PAGE * width && weights.len() == PAGE / 2 * width,
            "scores and weights of a page"
        );
        if let Some(seen) = &seen {
            assert!(
                seen.first.len() == width && seen.end.len() == width,
                "what each row sees"
            );
        }
        // SAFETY: detection as above; lengths were checked.
        unsafe { (self.soften)(scores, weights, seen, states) }
    }

    /// `sums = sums * rescale + values · weights`: `[dim, PAGE] · [PAGE, width] -> [dim, width]`.
    pub(crate) fn values(
        &self,
        weights: &LaneWeights<'_>,
        values: &[bf16],
        sums: &mut [f32],
        ahead: Ahead<'_>,
    ) {
        let width = weights.rescale.len();
        assert!(width.is_multiple_of(LANES), "whole registers");
        assert!(
            weights.count <= PAGE && weights.words.len() == PAGE / 2 * width,
            "weights of a page"
        );
        assert!(
            values.len().is_multiple_of(LANES * PAGE),
            "a plane of values"
        );
        assert_eq!(
            sums.len(),
            values.len() / PAGE * width,
            "sums of every feature"
        );
        // SAFETY: detection as above; lengths were checked.
        unsafe { (self.values)(weights, values, sums, ahead) }
    }

    /// Turns sums `[dim, width]` back to rows `[rows, dim]`.
    pub(crate) fn turn_sums(&self, sums: &[f32], width: usize, rows: &mut [f32], dim: usize) {
        assert!(
            dim.is_multiple_of(LANES) && width.is_multiple_of(LANES),
            "whole registers"
        );
        assert_eq!(sums.len(), dim * width, "sums of every feature");
        assert!(
            rows.len().is_multiple_of(dim) && rows.len() <= width * dim,
            "rows of sums"
        );
        // SAFETY: detection as above; lengths were checked.
        unsafe { (self.turn_sums)(sums, width, rows, dim) }
    }
}
