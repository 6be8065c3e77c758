//! The gated delta rule, as a layer's first part.

use super::buffers::{Buffers, Recurrent};
use super::convolution::Convolution;
use super::forward::Pass;
use super::linear::Job;
use super::mixer::Memory;
use super::norm::{Before, Norm};
use crate::ModelError;
use crate::arch::{Bias, DeltaSpec, Linear, Loader, Spec};
use dino_kernels::Activation;
use dino_kernels::ops::{self, DeltaInput, DeltaRule};

/// The weights of one layer's delta rule.
#[derive(Debug)]
pub(super) struct GatedDelta {
    rule: DeltaRule,
    /// Queries, keys and values.
    qkv: Linear,
    /// Of what comes out.
    gate: Linear,
    /// How much of a difference is corrected.
    rate: Linear,
    /// How fast the memory decays.
    decay: Linear,
    /// Added to that, `[value_heads]`.
    decay_bias: Vec<f32>,
    /// What it is multiplied by, `[value_heads]`.
    decay_factor: Vec<f32>,
    convolution: Convolution,
    /// Of what comes out, head by head.
    norm: Norm,
    state: usize,
}

impl GatedDelta {
    pub(super) fn load(
        spec: &Spec,
        delta: DeltaSpec,
        loader: &mut Loader<'_>,
        layer: usize,
        memory: &mut Memory,
    ) -> Result<Self, ModelError> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let (rule, hidden) = (delta.rule, spec.hidden);
        let heads = rule.value_heads;
        let values = heads * rule.value_dim;
        let channels = 2 * rule.key_heads * rule.key_dim + values;
        let [rate, decay] = rates(delta, loader, hidden, layer)?;
        let shape = [channels, delta.taps];
        Ok(Self {
            rule,
            qkv: loader.linear(&name("attn_qkv"), [channels, hidden], Bias::Never)?,
            gate: loader.linear(&name("attn_gate"), [values, hidden], Bias::Never)?,
            rate,
            decay,
            decay_bias: loader.vector(&name("ssm_dt.bias"), heads)?,
            decay_factor: loader.vector(&name("ssm_a"), heads)?,
            convolution: Convolution::load(
                loader,
                &name("ssm_conv1d"),
                shape,
                Bias::Never,
                memory,
            )?
            .activated(),
            norm: Norm::load(spec.norm, loader, &name("ssm_norm"), rule.value_dim)?,
            state: memory.state(rule.state()),
        })
    }
}

/// The matrices of rates and decays, `[value_heads, hidden]` each.
fn rates(
    delta: DeltaSpec,
    loader: &mut Loader<'_>,
    hidden: usize,
    layer: usize,
) -> Result<[Linear; 2], ModelError> {
    let name = |part: &str| format!("blk.{layer}.{part}");
    let heads = delta.rule.value_heads;
    if !delta.rates_fused {
        let mut linear = |part| loader.linear(&name(part), [heads, hidden], Bias::Never);
        return Ok([linear("ssm_beta")?, linear("ssm_alpha")?]);
    }
    // For each key head, the rates of its value heads and then their decays.
    let group = heads / delta.rule.key_heads;
    let row = |head: usize, kind: usize| (head / group * 2 + kind) * group + head % group;
    let [rate, decay] = [0, 1].map(|kind| {
        let rows = || (0..heads).map(|head| row(head, kind)).collect();
        loader.picked(&name("ssm_ba"), [2 * heads, hidden], rows)
    });
    Ok([rate?, decay?])
}

impl Pass<'_> {
    /// `mixed = norm(delta rule) · silu(gate)`.
    pub(super) fn correct(&mut self, norm: &Before, layer: &GatedDelta) {
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
            gate: decay,
            extra: rate,
            output,
            spans,
            ..
        } = recurrent;
        let (context, tokens) = (&self.context, stream.view().nrows());
        let compute = context.compute;
        let sized = [&layer.qkv, &layer.gate, &layer.rate, &layer.decay];
        for (rows, layer) in [&mut *input, &mut *mixed, &mut *rate, &mut *decay]
            .into_iter()
            .zip(sized)
        {
            rows.resize(tokens, layer.weight.rows());
        }
        let rows = context.normed_input(norm, stream, normed, quantized, &layer.qkv);
        let jobs = [
            Job::store(&layer.qkv, input),
            Job::store(&layer.gate, mixed),
            Job::store(&layer.rate, rate),
            Job::store(&layer.decay, decay),
        ];
        context.linear(rows, jobs);
        layer
            .convolution
            .apply(context, self.cache, spans, input, convolved);
        ops::sigmoid(compute, rate.view_mut());
        ops::softplus(compute, decay.view_mut(), &layer.decay_bias);
        ops::scale_columns(compute, decay.view_mut(), &layer.decay_factor);
        ops::exp(compute, decay.view_mut());
        output.resize(tokens, layer.gate.weight.rows());
        let tokens = DeltaInput {
            qkv: convolved.view(),
            decay: decay.view(),
            rate: rate.view(),
        };
        let states = self.cache.states_mut(layer.state);
        ops::gated_delta(
            compute,
            &layer.rule,
            spans,
            states,
            tokens,
            output.view_mut(),
        );
        layer.norm.apply(compute, output.view_mut());
        ops::activate_gate(compute, mixed.view_mut(), output.view(), Activation::Silu);
    }
}
