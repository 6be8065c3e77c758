//! The state space of Mamba-2, as a layer's first part.

use super::buffers::{Buffers, Recurrent};
use super::convolution::Convolution;
use super::forward::Pass;
use super::linear::Job;
use super::mixer::Memory;
use super::norm::Before;
use crate::ModelError;
use crate::arch::{Bias, Linear, Loader, Spec, StateSpaceSpec};
use dino_kernels::Activation;
use dino_kernels::ops::{self, ScanInput};
use ndarray::{Axis, Slice};
use std::ops::Range;

/// The weights of one layer's state space.
#[derive(Debug)]
pub(super) struct StateSpace {
    spec: StateSpaceSpec,
    /// The gate; what is convolved: features, B and C; steps.
    inputs: [Linear; 3],
    convolution: Convolution,
    step_bias: Vec<f32>,
    /// A, `[heads]`.
    rate: Vec<f32>,
    /// D, `[heads]`.
    skip: Vec<f32>,
    /// Of what comes out, `[inner]`: each group of features is normalised by itself.
    norm: Vec<f32>,
    epsilon: f32,
    /// As many ones as a group has features.
    ones: Vec<f32>,
    state: usize,
}

impl StateSpace {
    pub(super) fn load(
        spec: &Spec,
        space: StateSpaceSpec,
        loader: &mut Loader<'_>,
        layer: usize,
        memory: &mut Memory,
    ) -> Result<Self, ModelError> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let StateSpaceSpec {
            inner,
            size,
            taps,
            heads,
            groups,
        } = space;
        let channels = inner + 2 * groups * size;
        let (parts, shape) = ([inner, channels, heads], [channels, taps]);
        let bias = spec.biases.inputs;
        Ok(Self {
            spec: space,
            inputs: loader.fused(&name("ssm_in"), parts, spec.hidden, bias)?,
            convolution: Convolution::load(
                loader,
                &name("ssm_conv1d"),
                shape,
                Bias::Always,
                memory,
            )?
            .activated(),
            step_bias: loader.vector(&name("ssm_dt.bias"), heads)?,
            rate: loader.values(&name("ssm_a"), &[heads, 1])?,
            skip: loader.values(&name("ssm_d"), &[heads, 1])?,
            norm: loader.values(&name("ssm_norm.weight"), &[groups, inner / groups])?,
            epsilon: spec.norm.epsilon(),
            ones: vec![1.0; inner / groups],
            state: memory.state(inner * size),
        })
    }
}

impl Pass<'_> {
    /// `mixed = norm(state space · silu(gate))`.
    pub(super) fn remember(&mut self, norm: &Before, layer: &StateSpace) {
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
            convolved,
            step,
            output,
            spans,
            ..
        } = recurrent;
        let (context, tokens) = (&self.context, stream.view().nrows());
        let compute = context.compute;
        let [gate, convolution, steps] = &layer.inputs;
        mixed.resize(tokens, gate.weight.rows());
        input.resize(tokens, convolution.weight.rows());
        step.resize(tokens, steps.weight.rows());
        let rows = context.normed_input(norm, stream, normed, quantized, gate);
        let jobs = [
            Job::store(gate, mixed),
            Job::store(convolution, input),
            Job::store(steps, step),
        ];
        context.linear(rows, jobs);
        let convolution = &layer.convolution;
        convolution.apply(context, self.cache, spans, input, convolved);
        ops::softplus(compute, step.view_mut(), &layer.step_bias);
        let StateSpaceSpec {
            inner,
            size,
            groups,
            ..
        } = layer.spec;
        let (convolved, width) = (convolved.view(), groups * size);
        let columns = |range: Range<usize>| convolved.slice_axis_move(Axis(1), Slice::from(range));
        let input = ScanInput {
            x: columns(0..inner),
            step: step.view(),
            write: columns(inner..inner + width),
            read: columns(inner + width..inner + 2 * width),
        };
        let weights = ops::StateSpace {
            rate: &layer.rate,
            skip: &layer.skip,
            groups,
            size,
        };
        output.resize(tokens, inner);
        let states = self.cache.states_mut(layer.state);
        ops::state_space(compute, &weights, spans, states, input, output.view_mut());
        ops::activate_gate(compute, mixed.view_mut(), output.view(), Activation::Silu);
        ops::rms_norm_heads(compute, mixed.view_mut(), &layer.ones, layer.epsilon);
        ops::scale_columns(compute, mixed.view_mut(), &layer.norm);
    }
}
