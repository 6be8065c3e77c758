//! A feed-forward part of many experts, of which each token goes through a few (Shazeer et al., arXiv:1701.06538).
//!
//! Rows are gathered by expert, so that each expert's weights are read once for all tokens that chose it, and all
//! experts run as one parallel region; where they come and go, as many at a time as there is room for. A token's results are
//! added in the order of its own choice: what else is in the batch changes nothing.

use super::buffers::{Buffers, Rows};
use super::feed_forward::activate_gate;
use super::forward::Pass;
use super::linear::Job;
use super::norm::{Before, PartNorms};
use super::routes::Routes;
use crate::ModelError;
use crate::arch::{self, Bias, GateLimit, Linear, Loader};
use crate::rounded::Rounded;
use dino_kernels::ops;
use std::ops::Range;

/// The weights of one layer's experts.
#[derive(Debug)]
pub(super) struct Experts {
    /// Which layer of the model this is.
    layer: usize,
    spec: arch::Experts,
    router: Linear,
    /// Added to the chances before the best are chosen, `[experts]`; empty for nothing.
    preferences: Vec<f32>,
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

/// What experts work in; rows are those of all tokens' choices, gathered by expert, or of a run of experts at a time.
#[derive(Default)]
pub(super) struct ExpertBuffers {
    /// `[tokens, experts]`.
    scores: Rows,
    routes: Routes,
    /// `[rows, hidden]`.
    gathered: Rows,
    /// `[rows, size]`.
    gate: Rows,
    /// `[rows, size]`.
    up: Rows,
    /// Of all choices, `[tokens × used, hidden]`.
    results: Rows,
    /// The input of each expert that any token chose, in 8 bits.
    inputs: Vec<Rounded>,
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
        let bias = if spec.biased {
            Bias::Always
        } else {
            Bias::Never
        };
        let gate = loader.stack(&name("ffn_gate_exps"), [count, size, hidden], bias)?;
        let up = loader.stack(&name("ffn_up_exps"), [count, size, hidden], bias)?;
        let down = loader.stack(&name("ffn_down_exps"), [count, hidden, size], bias)?;
        let parts = gate.into_iter().zip(up).zip(down);
        let experts = parts.map(|((gate, up), down)| Expert { gate, up, down });
        let shared = spec.shared;
        Ok(Self {
            layer,
            spec,
            preferences: match spec.preferred {
                true => loader.vector(&name("exp_probs_b.bias"), count)?,
                false => Vec::new(),
            },
            router: loader.linear(&name("ffn_gate_inp"), [count, hidden], bias)?,
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
        let input = context.normed_input(&norms.before, stream, normed, quantized, &layer.router);
        context.linear(input, [Job::store(&layer.router, scores)]);
        routes.choose(scores.view(), &layer.spec, &layer.preferences);
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
        let input = context.input(normed.view(), quantized, &expert.gate);
        let jobs = [Job::store(&expert.gate, gate), Job::store(&expert.up, up)];
        context.linear(input, jobs);
        let input = context.gated_input(gate, up, quantized, &expert.down);
        context.linear(input, [Job::store(&expert.down, branch)]);
        if let Some(weight) = share {
            ops::scale_by_sigmoid(context.compute, branch.view_mut(), normed.view(), weight);
        }
    }

    /// Leaves in `results` what each expert makes of the rows that chose it.
    fn run_experts(&mut self, layer: &Experts) {
        let ExpertBuffers {
            routes, results, ..
        } = &mut self.buffers.experts;
        results.resize(routes.rows().len(), self.buffers.normed.view().ncols());
        let groups: Vec<_> = routes.groups().collect();
        let Some(window) = &self.context.model.window else {
            return self.run_groups(layer, &groups);
        };
        let experts: Vec<_> = groups.iter().map(|(expert, _)| *expert).collect();
        let parts = window.parts(layer.layer, &experts);
        // The next part is asked for before the one at hand is run, and comes meanwhile.
        let enter = |part: Option<&Range<usize>>| {
            if let Some(part) = part {
                window.enter_experts(layer.layer, &experts[part.clone()]);
            }
        };
        enter(parts.first());
        for (index, part) in parts.iter().enumerate() {
            enter(parts.get(index + 1));
            self.run_groups(layer, &groups[part.clone()]);
        }
    }

    /// As [`Self::run_experts`], for some experts, each with its gathered rows, which follow each other.
    fn run_groups(&mut self, layer: &Experts, groups: &[(usize, Range<usize>)]) {
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
        let [(_, first), ..] = groups else { return };
        let start = first.start;
        let end = groups.last().map_or(start, |(_, rows)| rows.end);
        let context = &self.context;
        gathered.resize(end - start, normed.view().ncols());
        gate.resize(end - start, layer.spec.size);
        up.resize(end - start, layer.spec.size);
        let rows = &routes.rows()[start..end];
        ops::gather(context.compute, normed.view(), rows, gathered.view_mut());

        let Some(kind) = layer.experts.first() else {
            return;
        };
        let own = |(_, rows): &(usize, Range<usize>)| rows.start - start..rows.end - start;
        let ranges = || groups.iter().map(own);
        let chosen = || groups.iter().map(|(expert, _)| &layer.experts[*expert]);
        let each = context.input_each(gathered, ranges(), (quantized, inputs), &kind.gate);
        let (gate_rows, up_rows) = (gate.view_mut(), up.view_mut());
        let gates = Job::store_each(chosen().map(|expert| &expert.gate), gate_rows, ranges());
        let ups = Job::store_each(chosen().map(|expert| &expert.up), up_rows, ranges());
        let inputs_twice = each.iter().chain(&each).copied();
        context.linear_each(inputs_twice.zip(gates.chain(ups)));
        match layer.spec.limit {
            None => activate_gate(context, gate, up),
            Some(GateLimit { most, slope }) => {
                ops::limited_gate(
                    context.compute,
                    gate.view_mut(),
                    up.view_mut(),
                    (most, slope),
                );
            }
        }
        let each = context.input_each(gate, ranges(), (quantized, inputs), &kind.down);
        let results = results.part_mut(start..end);
        let downs = Job::store_each(chosen().map(|expert| &expert.down), results, ranges());
        context.linear_each(each.into_iter().zip(downs));
    }
}
