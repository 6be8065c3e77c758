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
    gate: Linear,
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
        let arch::FeedForward::Gated { size } = spec.layers[layer].feed_forward;
        let [gate, up] = match spec.matrices {
            Matrices::Separate => [
                loader.linear(&name("ffn_gate"), [size, hidden], bias)?,
                loader.linear(&name("ffn_up"), [size, hidden], bias)?,
            ],
            Matrices::Fused => loader.fused(&name("ffn_up"), [size; 2], hidden, bias)?,
        };
        let before = name("ffn_norm");
        Ok(Self {
            norms: PartNorms::load(spec, loader, &before, &name("post_ffw_norm"))?,
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
        let jobs = [Job::store(&layer.gate, gate), Job::store(&layer.up, up)];
        context.linear(input, jobs);
        let activation = context.model.spec.activation;
        ops::activate_gate(context.compute, gate.view_mut(), up.view(), activation);
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
