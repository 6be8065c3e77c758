//! A short convolution between two gates, as a layer's first part.

use super::buffers::{Buffers, Recurrent};
use super::convolution::Convolution;
use super::forward::Pass;
use super::linear::Job;
use super::mixer::Memory;
use super::norm::Before;
use crate::ModelError;
use crate::arch::{Bias, Linear, Loader, Spec};
use dino_kernels::ops;

/// The weights of one layer's convolution.
#[derive(Debug)]
pub(super) struct ShortConvolution {
    /// The gate of what goes in, that of what comes out, and what goes in.
    inputs: [Linear; 3],
    convolution: Convolution,
}

impl ShortConvolution {
    pub(super) fn load(
        spec: &Spec,
        loader: &mut Loader<'_>,
        layer: usize,
        taps: usize,
        memory: &mut Memory,
    ) -> Result<Self, ModelError> {
        let name = |part: &str| format!("blk.{layer}.shortconv.{part}");
        let (hidden, bias) = (spec.hidden, spec.biases.inputs);
        let shape = [hidden, taps];
        Ok(Self {
            inputs: loader.fused(&name("in_proj"), [hidden; 3], hidden, bias)?,
            convolution: Convolution::load(loader, &name("conv"), shape, Bias::Never, memory)?,
        })
    }
}

impl Pass<'_> {
    /// `mixed = after · convolution(before · input)`.
    pub(super) fn convolve(&mut self, norm: &Before, layer: &ShortConvolution) {
        let Buffers {
            stream,
            normed,
            mixed,
            quantized,
            recurrent,
            ..
        } = &mut *self.buffers;
        let Recurrent {
            input,
            gate,
            spans,
            extra,
            ..
        } = recurrent;
        let (context, tokens) = (&self.context, stream.view().nrows());
        let [first, second, third] = &layer.inputs;
        for rows in [&mut *gate, &mut *extra, &mut *input] {
            rows.resize(tokens, first.weight.rows());
        }
        let rows = context.normed_input(norm, stream, normed, quantized, first);
        let jobs = [
            Job::store(first, gate),
            Job::store(second, extra),
            Job::store(third, input),
        ];
        context.linear(rows, jobs);
        ops::multiply(context.compute, input.view_mut(), gate.view());
        layer
            .convolution
            .apply(context, self.cache, spans, input, mixed);
        ops::multiply(context.compute, mixed.view_mut(), extra.view());
    }
}
