//! The one way in which a layer's matrices are run.

use super::buffers::Rows;
use super::forward::Context;
use super::norm::{Before, Norm};
use crate::arch::Linear;
use dino_kernels::QuantizedRows;
use dino_kernels::ops::{self, LinearInput};
use ndarray::{ArrayView2, ArrayViewMut2};

/// A linear layer, and what becomes of its result.
pub(super) struct Job<'a> {
    layer: &'a Linear,
    output: ArrayViewMut2<'a, f32>,
    add: bool,
}

impl<'a> Job<'a> {
    /// The result replaces `output`, `[tokens, out_features]`.
    pub(super) fn store(layer: &'a Linear, output: &'a mut Rows) -> Self {
        Self {
            layer,
            output: output.view_mut(),
            add: false,
        }
    }

    /// The result is added to `output`, `[tokens, out_features]`.
    pub(super) fn add(layer: &'a Linear, output: &'a mut Rows) -> Self {
        Self {
            add: true,
            ..Self::store(layer, output)
        }
    }
}

impl Context<'_> {
    /// Runs linear layers that share their input, as one parallel region.
    pub(super) fn linear<const N: usize>(&self, input: LinearInput<'_>, jobs: [Job<'_>; N]) {
        let layers = jobs.map(|Job { layer, output, add }| {
            let run = if add {
                ops::Linear::add
            } else {
                ops::Linear::store
            };
            run(&layer.weight, layer.bias.as_deref(), output)
        });
        ops::linear(self.compute, input, &layers);
    }

    /// The input of linear layers: quantized once for all of them, unless the model was loaded to be precise.
    pub(super) fn input<'a>(
        &self,
        rows: ArrayView2<'a, f32>,
        quantized: &'a mut QuantizedRows,
    ) -> LinearInput<'a> {
        if self.model.precise || !rows.ncols().is_multiple_of(32) {
            return LinearInput::precise(rows);
        }
        quantized.fill(self.compute, rows);
        LinearInput::quantized(rows, quantized)
    }

    /// What a part reads of the residual stream, as the input of linear layers.
    pub(super) fn normed_input<'a>(
        &self,
        before: &Before,
        stream: &'a Rows,
        normed: &'a mut Rows,
        quantized: &'a mut QuantizedRows,
    ) -> LinearInput<'a> {
        self.input(before.read(self.compute, stream, normed), quantized)
    }

    /// Adds what a part makes of `input` to the residual stream, normalised and scaled where the model does so.
    pub(super) fn add_branch(
        &self,
        input: LinearInput<'_>,
        (layer, norm): (&Linear, Option<&Norm>),
        branch: &mut Rows,
        stream: &mut Rows,
    ) {
        let factor = self.model.spec.residual_scale;
        if norm.is_none() && factor.is_none() {
            return self.linear(input, [Job::add(layer, stream)]);
        }
        self.linear(input, [Job::store(layer, branch)]);
        self.add_result(norm, branch, stream);
    }

    /// Adds what a part made to the residual stream, normalised and scaled where the model does so.
    pub(super) fn add_result(&self, norm: Option<&Norm>, branch: &mut Rows, stream: &mut Rows) {
        if let Some(norm) = norm {
            norm.apply(self.compute, branch.view_mut());
        }
        let (stream, branch) = (stream.view_mut(), branch.view());
        match self.model.spec.residual_scale {
            Some(factor) => ops::add_scaled(self.compute, stream, branch, factor),
            None => ops::add(self.compute, stream, branch),
        }
    }
}
