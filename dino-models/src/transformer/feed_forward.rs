//! The feed-forward part of a layer.

use super::buffers::{Buffers, Rows};
use super::experts::Experts;
use super::forward::{Context, Pass};
use super::linear::Job;
use super::norm::PartNorms;
use crate::ModelError;
use crate::arch::{self, Linear, Loader, Matrices, Spec};
use dino_kernels::ops;

/// The weights of one layer's feed-forward part.
#[derive(Debug)]
pub(super) struct FeedForward {
    norms: PartNorms,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Dense(Box<Dense>),
    Experts(Box<Experts>),
}

/// A part that every token goes through.
#[derive(Debug)]
struct Dense {
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
    ) -> Result<Option<Self>, ModelError> {
        let kind = match spec.layers[layer].feed_forward {
            arch::FeedForward::Absent => return Ok(None),
            arch::FeedForward::Gated { size } => {
                Kind::Dense(Box::new(Dense::load(spec, loader, layer, (size, true))?))
            }
            arch::FeedForward::Plain { size } => {
                Kind::Dense(Box::new(Dense::load(spec, loader, layer, (size, false))?))
            }
            arch::FeedForward::Experts(experts) => Kind::Experts(Box::new(Experts::load(
                experts,
                spec.hidden,
                loader,
                layer,
            )?)),
        };
        let [before, after] =
            [spec.ffn_norm, "post_ffw_norm"].map(|part| format!("blk.{layer}.{part}"));
        let norms = PartNorms::load(spec, loader, [&before, &after], false)?;
        Ok(Some(Self { norms, kind }))
    }
}

impl Dense {
    fn load(
        spec: &Spec,
        loader: &mut Loader<'_>,
        layer: usize,
        (size, gated): (usize, bool),
    ) -> Result<Self, ModelError> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let (hidden, bias) = (spec.hidden, spec.biases.feed_forward);
        let (gate, up) = match spec.matrices {
            Matrices::Fused | Matrices::FusedGate if gated => {
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
            gate,
            up,
            down: loader.linear(&name("ffn_down"), [hidden, size], bias)?,
        })
    }
}

impl Pass<'_> {
    /// What the part makes of the residual stream, before the product of gate and up and its last matrix.
    pub(super) fn expand(&mut self, layer: &FeedForward) {
        match &layer.kind {
            Kind::Dense(dense) => self.expand_dense(&layer.norms, dense),
            Kind::Experts(experts) => self.route(&layer.norms, experts),
        }
    }

    /// Adds what the last matrix makes of that to the residual stream.
    pub(super) fn contract(&mut self, layer: &FeedForward) {
        match &layer.kind {
            Kind::Dense(dense) => self.contract_dense(&layer.norms, dense),
            Kind::Experts(experts) => self.add_experts(&layer.norms, experts),
        }
    }

    fn expand_dense(&mut self, norms: &PartNorms, layer: &Dense) {
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
        let input = context.normed_input(&norms.before, stream, normed, quantized, &layer.up);
        match &layer.gate {
            Some(gate_layer) => {
                let jobs = [Job::store(gate_layer, gate), Job::store(&layer.up, up)];
                context.linear(input, jobs);
            }
            None => {
                context.linear(input, [Job::store(&layer.up, gate)]);
                let activation = context.model.spec.activation;
                ops::activate(context.compute, gate.view_mut(), activation);
            }
        }
    }

    fn contract_dense(&mut self, norms: &PartNorms, layer: &Dense) {
        let Buffers {
            stream,
            gate,
            up,
            branch,
            quantized,
            ..
        } = &mut *self.buffers;
        let input = match &layer.gate {
            Some(_) => self.context.gated_input(gate, up, quantized, &layer.down),
            None => self.context.input(gate.view(), quantized, &layer.down),
        };
        let output = (&layer.down, norms.after.as_ref());
        self.context.add_branch(input, output, branch, stream);
    }
}

/// `gate = activation(gate) · up`.
pub(super) fn activate_gate(context: &Context<'_>, gate: &mut Rows, up: &Rows) {
    let activation = context.model.spec.activation;
    ops::activate_gate(context.compute, gate.view_mut(), up.view(), activation);
}
