//! The feed-forward part of a layer.

use super::buffers::Buffers;
use super::forward::Pass;
use super::linear::Job;
use super::norm::PartNorms;
use crate::ModelError;
use crate::arch::{self, Linear, Loader, Matrices, Spec};
use dino_kernels::ops;

/// The weights of one layer's feed-forward part.
#[derive(Debug)]
pub(super) struct FeedForward {
    norms: PartNorms,
    /// `None` for a plain part.
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
}

impl FeedForward {
    pub(super) fn load(
        spec: &Spec,
        loader: &mut Loader<'_>,
        layer: usize,
    ) -> Result<Self, ModelError> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let (hidden, bias) = (spec.hidden, spec.biases.feed_forward);
        let norms = [&name("ffn_norm")[..], &name("post_ffw_norm")];
        let norms = PartNorms::load(spec, loader, norms, false)?;
        let (size, gated) = match spec.layers[layer].feed_forward {
            arch::FeedForward::Gated { size } => (size, true),
            arch::FeedForward::Plain { size } => (size, false),
        };
        let (gate, up) = match spec.matrices {
            Matrices::Fused if gated => {
                let [gate, up] = loader.fused(&name("ffn_up"), [size; 2], hidden, bias)?;
                (Some(gate), up)
            }
            _ => {
                let mut linear = |part| loader.linear(&name(part), [size, hidden], bias);
                let gate = gated.then(|| linear("ffn_gate")).transpose()?;
                (gate, linear("ffn_up")?)
            }
        };
        Ok(Self {
            norms,
            gate,
            up,
            down: loader.linear(&name("ffn_down"), [hidden, size], bias)?,
        })
    }
}

impl Pass<'_> {
    /// What the part makes of the residual stream, before its last matrix.
    pub(super) fn expand(&mut self, layer: &FeedForward) {
        let Buffers {
            stream,
            normed,
            gate,
            up,
            quantized,
            ..
        } = &mut *self.buffers;
        let (context, columns) = (&self.context, layer.up.weight.rows());
        gate.resize(stream.view().nrows(), columns);
        up.resize(stream.view().nrows(), columns);
        let input = context.normed_input(&layer.norms.before, stream, normed, quantized);
        let activation = context.model.spec.activation;
        match &layer.gate {
            Some(gate_layer) => {
                let jobs = [Job::store(gate_layer, gate), Job::store(&layer.up, up)];
                context.linear(input, jobs);
                ops::activate_gate(context.compute, gate.view_mut(), up.view(), activation);
            }
            None => {
                context.linear(input, [Job::store(&layer.up, gate)]);
                ops::activate(context.compute, gate.view_mut(), activation);
            }
        }
    }

    /// Adds what the last matrix makes of that to the residual stream.
    pub(super) fn contract(&mut self, layer: &FeedForward) {
        let Buffers {
            stream,
            gate,
            branch,
            quantized,
            ..
        } = &mut *self.buffers;
        let input = self.context.input(gate.view(), quantized);
        let output = (&layer.down, layer.norms.after.as_ref());
        self.context.add_branch(input, output, branch, stream);
    }
}
