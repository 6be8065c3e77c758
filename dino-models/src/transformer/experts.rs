//! A feed-forward part of many experts, of which each token goes through a few (Shazeer et al., arXiv:1701.06538).
//!
//! Rows are gathered by expert, so that each expert's weights are read once for all tokens that chose it, and all
//! experts run as one parallel region. A token's results are added in the order of its own choice: what else is in the
//! batch changes nothing.

use super::buffers::{Buffers, Rows};
use super::feed_forward::activate_gate;
use super::forward::Pass;
use super::linear::Job;
use super::norm::{Before, PartNorms};
use super::routes::Routes;
use crate::ModelError;
use crate::arch::{self, Bias, Linear, Loader};
use dino_kernels::QuantizedRows;
use dino_kernels::ops;

/// The weights of one layer's experts.
#[derive(Debug)]
pub(super) struct Experts {
    spec: arch::Experts,
    router: Linear,
    experts: Vec<Expert>,
    shared: Option<Shared>,
}

/// One expert: a gated feed-forward part.
#[derive(Debug)]
struct Expert {
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// The expert that every token goes through.
#[derive(Debug)]
struct Shared {
    expert: Expert,
    /// Times the row, through a sigmoid: the expert's share, `[hidden]`. `None` for a share of one.
    share: Option<Vec<f32>>,
}

/// What experts work in; rows are those of all tokens' choices, gathered by expert.
#[derive(Default)]
pub(super) struct ExpertBuffers {
    /// `[tokens, experts]`.
    scores: Rows,
    routes: Routes,
    /// `[tokens × used, hidden]`.
    gathered: Rows,
    /// `[tokens × used, size]`.
    gate: Rows,
    /// `[tokens × used, size]`.
    up: Rows,
    /// `[tokens × used, hidden]`.
    results: Rows,
    /// The input of each expert that any token chose, in 8 bits.
    inputs: Vec<QuantizedRows>,
}

impl Experts {
    pub(super) fn load(
        spec: arch::Experts,
        hidden: usize,
        loader: &mut Loader<'_>,
        layer: usize,
    ) -> Result<Self, ModelError> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let (count, size) = (spec.count, spec.size);
        let gate = loader.stack(&name("ffn_gate_exps"), [count, size, hidden])?;
        let up = loader.stack(&name("ffn_up_exps"), [count, size, hidden])?;
        let down = loader.stack(&name("ffn_down_exps"), [count, hidden, size])?;
        let parts = gate.into_iter().zip(up).zip(down);
        let experts = parts.map(|((gate, up), down)| Expert { gate, up, down });
        let shared = spec.shared;
        Ok(Self {
            spec,
            router: loader.linear(&name("ffn_gate_inp"), [count, hidden], Bias::Never)?,
            experts: experts.collect(),
            shared: shared
                .map(|shared| Shared::load(shared, hidden, loader, layer))
                .transpose()?,
        })
    }
}

impl Shared {
    fn load(
        spec: arch::SharedExpert,
        hidden: usize,
        loader: &mut Loader<'_>,
        layer: usize,
    ) -> Result<Self, ModelError> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let (inner, outer) = ([spec.size, hidden], [hidden, spec.size]);
        let share = name("ffn_gate_inp_shexp.weight");
        Ok(Self {
            expert: Expert {
                gate: loader.linear(&name("ffn_gate_shexp"), inner, Bias::Never)?,
                up: loader.linear(&name("ffn_up_shexp"), inner, Bias::Never)?,
                down: loader.linear(&name("ffn_down_shexp"), outer, Bias::Never)?,
            },
            share: spec
                .gated
                .then(|| load_share(loader, &share, hidden))
                .transpose()?,
        })
    }
}

/// A vector, which some files hold as a matrix of one row.
fn load_share(loader: &mut Loader<'_>, name: &str, hidden: usize) -> Result<Vec<f32>, ModelError> {
    let vector = loader.vector(name, hidden);
    vector.or_else(|error| loader.values(name, &[1, hidden]).map_err(|_| error))
}

impl Pass<'_> {
    /// Chooses the experts of each token. What they read stays in `normed`.
    pub(super) fn route(&mut self, norms: &PartNorms, layer: &Experts) {
        let Buffers {
            stream,
            normed,
            quantized,
            experts: ExpertBuffers { scores, routes, .. },
            ..
        } = &mut *self.buffers;
        if let Before::Nothing = norms.before {
            normed.view_mut().assign(&stream.view());
        }
        let context = &self.context;
        scores.resize(stream.view().nrows(), layer.spec.count);
        let input = context.normed_input(&norms.before, stream, normed, quantized);
        context.linear(input, [Job::store(&layer.router, scores)]);
        routes.choose(scores.view(), layer.spec.used, layer.spec.shares);
    }

    /// Adds what the experts make of it to the residual stream.
    pub(super) fn add_experts(&mut self, norms: &PartNorms, layer: &Experts) {
        match &layer.shared {
            Some(shared) => self.run_shared(shared),
            None => self.buffers.branch.view_mut().fill(0.0),
        }
        self.run_experts(layer);
        let Buffers {
            stream,
            branch,
            experts: ExpertBuffers {
                routes, results, ..
            },
            ..
        } = &mut *self.buffers;
        let (to, results) = (branch.view_mut(), results.view());
        ops::add_choices(self.context.compute, to, results, routes.choices());
        self.context
            .add_result(norms.after.as_ref(), branch, stream);
    }

    /// Leaves in `branch` what the shared expert makes.
    fn run_shared(&mut self, layer: &Shared) {
        let Buffers {
            normed,
            gate,
            up,
            branch,
            quantized,
            ..
        } = &mut *self.buffers;
        let (context, Shared { expert, share }) = (&self.context, layer);
        let (tokens, size) = (normed.view().nrows(), expert.up.weight.rows());
        gate.resize(tokens, size);
        up.resize(tokens, size);
        let input = context.input(normed.view(), quantized);
        let jobs = [Job::store(&expert.gate, gate), Job::store(&expert.up, up)];
        context.linear(input, jobs);
        activate_gate(context, gate, up);
        let input = context.input(gate.view(), quantized);
        context.linear(input, [Job::store(&expert.down, branch)]);
        if let Some(weight) = share {
            ops::scale_by_sigmoid(context.compute, branch.view_mut(), normed.view(), weight);
        }
    }

    /// Leaves in `results` what each expert makes of the rows that chose it.
    fn run_experts(&mut self, layer: &Experts) {
        let Buffers {
            normed,
            quantized,
            experts,
            ..
        } = &mut *self.buffers;
        let ExpertBuffers {
            routes,
            gathered,
            gate,
            up,
            results,
            inputs,
            ..
        } = experts;
        let (context, rows) = (&self.context, routes.rows());
        gathered.resize(rows.len(), normed.view().ncols());
        gate.resize(rows.len(), layer.spec.size);
        up.resize(rows.len(), layer.spec.size);
        results.resize(rows.len(), normed.view().ncols());
        ops::gather(context.compute, normed.view(), rows, gathered.view_mut());

        let groups = || routes.groups().map(|(_, rows)| rows);
        let chosen = || routes.groups().map(|(expert, _)| &layer.experts[expert]);
        let each = context.input_each(gathered, groups(), quantized, inputs);
        let gates = Job::store_each(chosen().map(|expert| &expert.gate), gate, groups());
        let ups = Job::store_each(chosen().map(|expert| &expert.up), up, groups());
        let inputs_twice = each.iter().chain(&each).copied();
        context.linear_each(inputs_twice.zip(gates.chain(ups)));
        activate_gate(context, gate, up);
        let each = context.input_each(gate, groups(), quantized, inputs);
        let downs = Job::store_each(chosen().map(|expert| &expert.down), results, groups());
        context.linear_each(each.into_iter().zip(downs));
    }
}
