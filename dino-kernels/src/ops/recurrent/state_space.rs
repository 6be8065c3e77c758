//! Selective state spaces: Mamba (Gu and Dao, arXiv:2312.00752) and Mamba-2 (Dao and Gu, arXiv:2405.21060).

use super::StateSpan;
use super::spans::for_parts;
use crate::output::Output;
use crate::{Compute, Memory, Scan};
use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use std::ops::Range;

/// What the tokens of a pass bring.
#[derive(Clone, Copy, Debug)]
pub struct ScanInput<'a> {
    /// `x`, `[tokens, inner]`; this and the others may be columns of wider matrices.
    pub x: ArrayView2<'a, f32>,
    /// Δ, positive: `[tokens, inner]` (Mamba) or `[tokens, heads]` (Mamba-2).
    pub step: ArrayView2<'a, f32>,
    /// B, what is written where: `[tokens, groups · size]`; Mamba has one group.
    pub write: ArrayView2<'a, f32>,
    /// C, what is read from where: the same shape.
    pub read: ArrayView2<'a, f32>,
}

/// The weights of a Mamba layer.
#[derive(Clone, Copy, Debug)]
pub struct SelectiveScan<'a> {
    /// A, negative, `[size, inner]`.
    pub rate: &'a [f32],
    /// D, `[inner]`.
    pub skip: &'a [f32],
}

/// The weights and sizes of a Mamba-2 layer.
#[derive(Clone, Copy, Debug)]
pub struct StateSpace<'a> {
    /// A, negative, `[heads]`.
    pub rate: &'a [f32],
    /// D, `[heads]`.
    pub skip: &'a [f32],
    /// Groups of heads that share B and C; divides the heads.
    pub groups: usize,
    /// Values of the state for each channel.
    pub size: usize,
}

/// Channels of a task of [`selective_scan`].
const CHANNELS: usize = 128;

/// For each token and channel: `h = exp(Δ · A) · h + Δ · B · x`, `output = C · h + D · x`.
///
/// `states`, `[…, inner · size]`, hold a part of at most 128 channels after the other, each `[size, part]`; `output` is
/// `[tokens, inner]`.
///
/// # Panics
/// If shapes do not fit or a matrix is not in standard layout.
pub fn selective_scan(
    compute: &Compute,
    weights: &SelectiveScan<'_>,
    spans: &[StateSpan],
    states: ArrayViewMut2<'_, f32>,
    input: ScanInput<'_>,
    output: ArrayViewMut2<'_, f32>,
) {
    let (tokens, inner) = input.x.dim();
    let size = input.write.ncols();
    assert_eq!(weights.skip.len(), inner, "D of every channel");
    assert_eq!(weights.rate.len(), inner * size, "A of every channel");
    assert_eq!(input.step.dim(), (tokens, inner), "a step of every channel");
    assert_eq!(input.read.dim(), (tokens, size), "as much is read");
    assert_eq!(input.write.nrows(), tokens, "a token for each token");
    assert_eq!(output.dim(), (tokens, inner), "the output");
    assert_eq!(states.ncols(), inner * size, "a state");
    let width = (1..=CHANNELS.min(inner.max(1)))
        .rev()
        .find(|width| inner.is_multiple_of(*width));
    let width = width.unwrap_or(1);
    let output = Output::new(output, None, false);
    for_parts(
        compute,
        spans,
        states,
        inner / width,
        |rows, part, state| {
            let mut work = ScanWork::default();
            let channels = part * width..(part + 1) * width;
            for row in rows.clone() {
                let out = work.step(compute, weights, &input, (row, channels.clone()), state);
                // SAFETY: each task has rows and channels of its own.
                unsafe { output.put(row, channels.start, out) };
            }
        },
    );
}

/// What a task of [`selective_scan`] works in.
struct ScanWork {
    decay: [f32; CHANNELS],
    input: [f32; CHANNELS],
    out: [f32; CHANNELS],
}

impl Default for ScanWork {
    fn default() -> Self {
        Self {
            decay: [0.0; CHANNELS],
            input: [0.0; CHANNELS],
            out: [0.0; CHANNELS],
        }
    }
}

impl ScanWork {
    fn step(
        &mut self,
        compute: &Compute,
        weights: &SelectiveScan<'_>,
        tokens: &ScanInput<'_>,
        (row, channels): (usize, Range<usize>),
        state: &mut [f32],
    ) -> &[f32] {
        let (inner, width) = (tokens.x.ncols(), channels.len());
        let [decay, input, out] =
            [&mut self.decay, &mut self.input, &mut self.out].map(|buffer| &mut buffer[..width]);
        let x = &row_of(tokens.x, row)[channels.clone()];
        let steps = &row_of(tokens.step, row)[channels.clone()];
        let (write, read) = (row_of(tokens.write, row), row_of(tokens.read, row));
        let skip = &weights.skip[channels.clone()];
        for (index, (x, step)) in x.iter().zip(steps).enumerate() {
            input[index] = step * x;
            out[index] = skip[index] * x;
        }
        for (slot, state) in state.chunks_exact_mut(width).enumerate() {
            let rate = &weights.rate[slot * inner..][channels.clone()];
            for ((decay, rate), step) in decay.iter_mut().zip(rate).zip(steps) {
                *decay = rate * step;
            }
            compute.kernels.vector.exp(decay);
            let scan = Scan {
                decay,
                input,
                write: write[slot],
                read: read[slot],
            };
            compute.kernels.state.scan(state, scan, out);
        }
        out
    }
}

/// For each token and head: `h = exp(Δ · A) · h + B ⊗ Δ · x`, `output = C · h + D · x`.
///
/// `states` are `[…, heads · size · head_dim]`, `output` is `[tokens, inner]`.
///
/// # Panics
/// If shapes do not fit or a matrix is not in standard layout.
pub fn state_space(
    compute: &Compute,
    weights: &StateSpace<'_>,
    spans: &[StateSpan],
    states: ArrayViewMut2<'_, f32>,
    input: ScanInput<'_>,
    output: ArrayViewMut2<'_, f32>,
) {
    let (tokens, inner) = input.x.dim();
    let StateSpace { groups, size, .. } = *weights;
    let heads = weights.rate.len();
    assert!(
        groups > 0 && heads.is_multiple_of(groups),
        "heads in groups"
    );
    assert!(
        heads > 0 && inner.is_multiple_of(heads),
        "channels of each head"
    );
    assert_eq!(weights.skip.len(), heads, "D of every head");
    assert_eq!(input.step.dim(), (tokens, heads), "a step of every head");
    assert_eq!(input.write.dim(), (tokens, groups * size), "B");
    assert_eq!(input.read.dim(), (tokens, groups * size), "C");
    assert_eq!(output.dim(), (tokens, inner), "the output");
    assert_eq!(states.ncols(), inner * size, "a state");
    let head_dim = inner / heads;
    let output = Output::new(output, None, false);
    for_parts(compute, spans, states, heads, |rows, head, state| {
        let (mut value, mut out) = (vec![0.0; head_dim], vec![0.0; head_dim]);
        let (channels, slots) = (head * head_dim, head / (heads / groups) * size);
        for row in rows.clone() {
            let step = input.step[[row, head]];
            let x = &row_of(input.x, row)[channels..][..head_dim];
            for (value, x) in value.iter_mut().zip(x) {
                *value = step * x;
            }
            let memory = Memory {
                decay: (step * weights.rate[head]).exp(),
                key: &row_of(input.write, row)[slots..][..size],
                value: &value,
                query: &row_of(input.read, row)[slots..][..size],
            };
            compute.kernels.state.remember(state, memory, &mut out);
            for (out, x) in out.iter_mut().zip(x) {
                *out += weights.skip[head] * x;
            }
            // SAFETY: each task has rows and a head of its own.
            unsafe { output.put(row, channels, &out) };
        }
    });
}

/// A row of a matrix that may be some columns of a wider one.
fn row_of<'a>(matrix: ArrayView2<'a, f32>, row: usize) -> &'a [f32] {
    let row = matrix.index_axis_move(Axis(0), row).to_slice();
    row.expect("rows in one piece")
}
