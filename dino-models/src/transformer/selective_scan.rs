//! The selective scan of Mamba, as a layer's first part.

use super::buffers::{Buffers, Recurrent};
use super::convolution::{Convolution, transposed};
use super::forward::Pass;
use super::linear::Job;
use super::mixer::Memory;
use super::norm::Before;
use crate::ModelError;
use crate::arch::{Bias, Linear, Loader, SelectiveScanSpec, Spec};
use dino_kernels::Activation;
use dino_kernels::ops::{self, ScanInput};

/// The weights of one layer's scan.
#[derive(Debug)]
pub(super) struct SelectiveScan {
    /// What is convolved, and the gate of what comes out.
    inputs: [Linear; 2],
    convolution: Convolution,
    /// Steps, B and C from what was convolved.
    coefficients: [Linear; 3],
    /// What they are normalised by, where they are: an epsilon, and ones for weights.
    norm: Option<(f32, Vec<f32>)>,
    step: Linear,
    step_bias: Vec<f32>,
    /// A, `[size, inner]`.
    rate: Vec<f32>,
    /// D, `[inner]`.
    skip: Vec<f32>,
    state: usize,
}

/// Of the coefficients' norms; no key of files holds it.
const EPSILON: f32 = 1e-6;

impl SelectiveScan {
    pub(super) fn load(
        spec: &Spec,
        scan: SelectiveScanSpec,
        loader: &mut Loader<'_>,
        layer: usize,
        memory: &mut Memory,
    ) -> Result<Self, ModelError> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let SelectiveScanSpec {
            inner,
            size,
            taps,
            step_rank,
            normalised,
        } = scan;
        let (hidden, bias, shape) = (spec.hidden, spec.biases.inputs, [inner, taps]);
        let parts = [step_rank, size, size];
        let rate = loader.values(&name("ssm_a"), &[inner, size])?;
        let ones = vec![1.0; step_rank.max(size)];
        Ok(Self {
            inputs: loader.fused(&name("ssm_in"), [inner; 2], hidden, bias)?,
            convolution: Convolution::load(
                loader,
                &name("ssm_conv1d"),
                shape,
                Bias::Always,
                memory,
            )?
            .activated(),
            coefficients: loader.fused(&name("ssm_x"), parts, inner, Bias::Never)?,
            norm: normalised.then_some((EPSILON, ones)),
            step: loader.linear(&name("ssm_dt"), [inner, step_rank], Bias::Never)?,
            step_bias: loader.vector(&name("ssm_dt.bias"), inner)?,
            rate: transposed(&rate, [inner, size]),
            skip: loader.vector(&name("ssm_d"), inner)?,
            state: memory.state(inner * size),
        })
    }
}

impl Pass<'_> {
    /// `mixed = scan · silu(gate)`.
    pub(super) fn scan(&mut self, norm: &Before, layer: &SelectiveScan) {
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
            spans,
            ..
        } = recurrent;
        let (context, tokens) = (&self.context, stream.view().nrows());
        let [x, gate] = &layer.inputs;
        input.resize(tokens, x.weight.rows());
        mixed.resize(tokens, gate.weight.rows());
        let rows = context.normed_input(norm, stream, normed, quantized, x);
        context.linear(rows, [Job::store(x, input), Job::store(gate, mixed)]);
        let convolution = &layer.convolution;
        convolution.apply(context, self.cache, spans, input, convolved);
        self.read_coefficients(layer);
        let Buffers {
            mixed, recurrent, ..
        } = &mut *self.buffers;
        let (inner, compute) = (layer.skip.len(), self.context.compute);
        recurrent.output.resize(tokens, inner);
        let input = ScanInput {
            x: recurrent.convolved.view(),
            step: recurrent.step.view(),
            write: recurrent.gate.view(),
            read: recurrent.extra.view(),
        };
        let weights = ops::SelectiveScan {
            rate: &layer.rate,
            skip: &layer.skip,
        };
        let states = self.cache.states_mut(layer.state);
        let output = recurrent.output.view_mut();
        ops::selective_scan(compute, &weights, &recurrent.spans, states, input, output);
        let (gate, output) = (mixed.view_mut(), recurrent.output.view());
        ops::activate_gate(compute, gate, output, Activation::Silu);
    }

    /// Steps, B and C, into `step`, `gate` and `extra`.
    fn read_coefficients(&mut self, layer: &SelectiveScan) {
        let Buffers {
            quantized,
            recurrent,
            ..
        } = &mut *self.buffers;
        let Recurrent {
            input: low,
            convolved,
            gate: write,
            extra: read,
            step,
            ..
        } = recurrent;
        let (context, tokens) = (&self.context, convolved.view().nrows());
        for (rows, layer) in [&mut *low, &mut *write, &mut *read]
            .into_iter()
            .zip(&layer.coefficients)
        {
            rows.resize(tokens, layer.weight.rows());
        }
        step.resize(tokens, layer.step.weight.rows());
        let [first, second, third] = &layer.coefficients;
        let rows = context.input(convolved.view(), quantized, first);
        let jobs = [
            Job::store(first, low),
            Job::store(second, write),
            Job::store(third, read),
        ];
        context.linear(rows, jobs);
        if let Some((epsilon, ones)) = &layer.norm {
            for rows in [&mut *low, write, read] {
                let ones = &ones[..rows.view().ncols()];
                ops::rms_norm_heads(context.compute, rows.view_mut(), ones, *epsilon);
            }
        }
        let rows = context.input(low.view(), quantized, &layer.step);
        context.linear(rows, [Job::store(&layer.step, step)]);
        ops::softplus(context.compute, step.view_mut(), &layer.step_bias);
    }
}
