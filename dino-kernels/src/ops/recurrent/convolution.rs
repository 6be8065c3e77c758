//! Causal convolutions over a few tokens, each channel by itself.

use super::StateSpan;
use super::spans::for_parts;
use crate::output::Output;
use crate::{Activation, Compute};
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Range;

/// The weights of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct Convolution<'a> {
    /// `[kernel, channels]`: the factor of the oldest token first, that of the present one last.
    pub weight: &'a [f32],
    /// `[channels]`.
    pub bias: Option<&'a [f32]>,
    /// What becomes of the result.
    pub activation: Option<Activation>,
}

/// Channels of a task: a state of three tokens and their results stay in the nearest cache.
const CHANNELS: usize = 256;

/// `output[t] = activation(bias + Σ weight[j] · input[t + 1 − kernel + j])`, `[tokens, channels]` each.
///
/// `states`, `[…, channels / part × (kernel − 1) × part]`, hold the last tokens of each sequence: a part of at most 256
/// channels after the other, in each the oldest token first.
///
/// # Panics
/// If shapes do not fit or a matrix is not in standard layout.
pub fn convolve(
    compute: &Compute,
    convolution: &Convolution<'_>,
    spans: &[StateSpan],
    states: ArrayViewMut2<'_, f32>,
    input: ArrayView2<'_, f32>,
    output: ArrayViewMut2<'_, f32>,
) {
    assert_eq!(input.dim(), output.dim(), "shapes of input and output");
    let channels = input.ncols();
    let taps = convolution.weight.len() / channels.max(1);
    assert_eq!(
        convolution.weight.len(),
        taps * channels,
        "weights of every channel"
    );
    assert!(taps > 0, "a convolution over at least one token");
    assert!(
        convolution.bias.is_none_or(|bias| bias.len() == channels),
        "a bias for each channel"
    );
    assert_eq!(states.ncols(), (taps - 1) * channels, "the last tokens");
    // Parts are equal, so that each finds its share of the state: the largest divisor that fits.
    let width = (1..=CHANNELS.min(channels.max(1)))
        .rev()
        .find(|width| channels.is_multiple_of(*width));
    let width = width.unwrap_or(1);
    let job = Job {
        compute,
        convolution,
        taps,
        channels,
        input: input.to_slice().expect("an input in standard layout"),
    };
    let output = Output::new(output, None, false);
    for_parts(
        compute,
        spans,
        states,
        channels / width,
        |rows, part, state| {
            job.run(rows, part * width..(part + 1) * width, state, &output);
        },
    );
}

struct Job<'a> {
    compute: &'a Compute,
    convolution: &'a Convolution<'a>,
    taps: usize,
    channels: usize,
    input: &'a [f32],
}

impl Job<'_> {
    fn run(
        &self,
        rows: &Range<usize>,
        channels: Range<usize>,
        state: &mut [f32],
        output: &Output<'_>,
    ) {
        let mut sums = [0.0; CHANNELS];
        let sums = &mut sums[..channels.len()];
        let past = self.taps - 1;
        for (index, row) in rows.clone().enumerate() {
            match self.convolution.bias {
                Some(bias) => sums.copy_from_slice(&bias[channels.clone()]),
                None => sums.fill(0.0),
            }
            for tap in 0..self.taps {
                // Before the first row of the pass come the tokens of the state.
                let from = match (index + tap).checked_sub(past) {
                    Some(since) => self.of_row(rows.start + since, &channels),
                    None => &state[(index + tap) * sums.len()..][..sums.len()],
                };
                let weight = &self.convolution.weight[tap * self.channels..][channels.clone()];
                self.compute.kernels.state.multiply_add(sums, weight, from);
            }
            if let Some(activation) = self.convolution.activation {
                self.compute.kernels.vector.activate(sums, activation);
            }
            // SAFETY: each task has rows and channels of its own.
            unsafe { output.put(row, channels.start, sums) };
        }
        self.keep(rows, &channels, state);
    }

    /// Leaves the last tokens in `state`.
    fn keep(&self, rows: &Range<usize>, channels: &Range<usize>, state: &mut [f32]) {
        let (past, width) = (self.taps - 1, channels.len());
        let new = rows.len().min(past);
        state.copy_within(new * width.., 0);
        for (slot, row) in (past - new..).zip(rows.end - new..rows.end) {
            state[slot * width..][..width].copy_from_slice(self.of_row(row, channels));
        }
    }

    fn of_row(&self, row: usize, channels: &Range<usize>) -> &[f32] {
        &self.input[row * self.channels..][channels.clone()]
    }
}
