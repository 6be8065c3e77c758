//! What a forward pass works in.

use super::experts::ExpertBuffers;
use super::head::HeadBuffers;
use super::rotation::Angles;
use crate::arch::Spec;
use crate::rounded::Rounded;
use dino_kernels::ops::{AttentionScratch, StateSpan};
use ndarray::{ArrayView2, ArrayViewMut2, Axis, Slice};
use std::ops::Range;

/// Activations of one pass, kept from pass to pass; all are `[tokens, …]`.
#[derive(Default)]
pub(super) struct Buffers {
    /// The residual stream, `[tokens, hidden]`.
    pub(super) stream: Rows,
    /// What a norm made of it, `[tokens, hidden]`.
    pub(super) normed: Rows,
    /// `[tokens, heads × head_dim]`.
    pub(super) queries: Rows,
    /// `[tokens, kv_heads × head_dim]`.
    pub(super) keys: Rows,
    /// `[tokens, kv_heads × head_dim]`.
    pub(super) values: Rows,
    /// What a layer's first part gathered, `[tokens, …]`: of attention, `heads × head_dim`.
    pub(super) mixed: Rows,
    /// `[tokens, feed_forward]`.
    pub(super) gate: Rows,
    /// `[tokens, feed_forward]`.
    pub(super) up: Rows,
    /// What a part makes, on its way to the residual stream, `[tokens, hidden]`.
    pub(super) branch: Rows,
    /// The rows that the head runs on, `[wanted, hidden]`.
    pub(super) wanted: Rows,
    /// The input of the linear layers at hand, in 8 bits.
    pub(super) quantized: Rounded,
    /// The position of each row.
    pub(super) positions: Vec<u32>,
    /// How far the position of each row turns its queries and keys.
    pub(super) angles: Angles,
    /// What experts work in.
    pub(super) experts: ExpertBuffers,
    /// What the head works in.
    pub(super) head: HeadBuffers,
    /// What attention works in.
    pub(super) attention: AttentionScratch,
    /// What the other kinds of first parts work in.
    pub(super) recurrent: Recurrent,
}

/// What recurrent layers work in; their rooms say what is what.
#[derive(Default)]
pub(super) struct Recurrent {
    /// The sequences of the batch.
    pub(super) spans: Vec<StateSpan>,
    /// What is convolved.
    pub(super) input: Rows,
    pub(super) convolved: Rows,
    pub(super) gate: Rows,
    pub(super) extra: Rows,
    pub(super) step: Rows,
    /// What the recurrence gives.
    pub(super) output: Rows,
}

impl Buffers {
    pub(super) fn resize(&mut self, spec: &Spec, tokens: usize, wanted: usize) {
        let (queries, keys) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
        self.stream.resize(tokens, spec.hidden);
        self.normed.resize(tokens, spec.hidden);
        self.queries.resize(tokens, queries);
        self.keys.resize(tokens, keys);
        self.values.resize(tokens, keys);
        self.branch.resize(tokens, spec.hidden);
        self.wanted.resize(wanted, spec.hidden);
    }
}

/// A matrix whose memory outlives its shape.
#[derive(Default)]
pub(crate) struct Rows {
    values: Vec<f32>,
    shape: (usize, usize),
}

impl Rows {
    pub(crate) fn resize(&mut self, rows: usize, columns: usize) {
        self.shape = (rows, columns);
        self.values.resize(rows * columns, 0.0);
    }

    pub(crate) fn view(&self) -> ArrayView2<'_, f32> {
        ArrayView2::from_shape(self.shape, &self.values).expect("as many values as the shape says")
    }

    pub(super) fn part(&self, rows: &Range<usize>) -> ArrayView2<'_, f32> {
        self.view()
            .slice_axis_move(Axis(0), Slice::from(rows.clone()))
    }

    pub(super) fn part_mut(&mut self, rows: Range<usize>) -> ArrayViewMut2<'_, f32> {
        self.view_mut().slice_axis_move(Axis(0), Slice::from(rows))
    }

    pub(crate) fn view_mut(&mut self) -> ArrayViewMut2<'_, f32> {
        ArrayViewMut2::from_shape(self.shape, &mut self.values)
            .expect("as many values as the shape says")
    }
}
