//! The one way in which a layer's matrices are run.

use super::buffers::Rows;
use super::forward::Context;
use super::norm::{Before, Norm};
use crate::AdaptedRows;
use crate::arch::Linear;
use crate::rounded::{Form, Rounded};
use dino_kernels::ops::{self, LinearInput};
use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use std::cell::RefCell;
use std::ops::Range;

thread_local! {
    /// Room for layers that want another form of their input than those beside them, kept from step to step.
    static SPARE: RefCell<Rounded> = RefCell::default();
}

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

impl<'a> Job<'a> {
    /// The results of `layers`, each of which replaces some rows of `output`: those of its range, which begins where
    /// the range before ends.
    pub(super) fn store_each(
        layers: impl Iterator<Item = &'a Linear>,
        output: ArrayViewMut2<'a, f32>,
        ranges: impl Iterator<Item = Range<usize>>,
    ) -> impl Iterator<Item = Self> {
        let mut rest = Some(output);
        layers.zip(ranges).filter_map(move |(layer, range)| {
            let (output, other) = rest.take()?.split_at(Axis(0), range.len());
            rest = Some(other);
            Some(Self {
                layer,
                output,
                add: false,
            })
        })
    }

    /// The job as it is to be run on `input`, which is shown to whom it may interest.
    fn run(&mut self, input: &LinearInput<'_>) -> ops::Linear<'_> {
        if let Some(watch) = &self.layer.watch {
            watch.show(input.rows());
        }
        let run = if self.add {
            ops::Linear::add
        } else {
            ops::Linear::store
        };
        let Linear { weight, bias, .. } = self.layer;
        run(weight, bias.as_deref(), self.output.view_mut())
    }
}

impl Context<'_> {
    /// Runs linear layers that share their input, as one parallel region.
    pub(super) fn linear<const N: usize>(&self, input: LinearInput<'_>, mut jobs: [Job<'_>; N]) {
        let shape = input.rows().dim();
        let reads = |job: &Job<'_>| self.form(job.layer, shape).is_of(&input);
        if jobs.iter().all(reads) {
            let layers = jobs.each_mut().map(|job| job.run(&input));
            ops::linear(self.compute, input, &layers);
        } else {
            jobs.iter_mut()
                .for_each(|job| self.linear_alone(input, job));
        }
        for AdaptedRows { adapter, rows } in self.batch.adapted() {
            for Job { layer, output, .. } in &mut jobs {
                let (name, output) = (layer.weight.name(), output.view_mut());
                adapter.add(self.compute, name, rows, (input.rows(), output));
            }
        }
    }

    /// Runs one of several layers that read the same rows but want them rounded differently.
    fn linear_alone(&self, input: LinearInput<'_>, job: &mut Job<'_>) {
        // Taken, not borrowed: nothing that runs in between finds it in use.
        let mut rounded = SPARE.take();
        let input = self.input(input.rows(), &mut rounded, job.layer);
        ops::linear(self.compute, input, &[job.run(&input)]);
        SPARE.set(rounded);
    }

    /// Runs linear layers, each with an input of its own, as one parallel region.
    pub(super) fn linear_each<'a>(&self, jobs: impl Iterator<Item = (LinearInput<'a>, Job<'a>)>) {
        let mut jobs: Vec<_> = jobs.collect();
        let jobs: Vec<_> = jobs
            .iter_mut()
            .map(|(input, job)| (*input, job.run(input)))
            .collect();
        ops::linear_each(self.compute, &jobs);
    }

    /// The inputs of linear layers that each read some of `rows`: as [`Self::input`], once for all.
    pub(super) fn input_each<'a>(
        &self,
        rows: &'a Rows,
        ranges: impl Iterator<Item = Range<usize>>,
        (quantized, parts): (&mut Rounded, &'a mut Vec<Rounded>),
        layer: &Linear,
    ) -> Vec<LinearInput<'a>> {
        let ranges: Vec<_> = ranges.collect();
        if parts.len() < ranges.len() {
            parts.resize_with(ranges.len(), Rounded::default);
        }
        let (tokens, columns) = rows.view().dim();
        let each = (tokens / ranges.len().max(1), columns);
        if matches!(self.form(layer, each), Form::Bf16) {
            let parts = ranges.iter().zip(parts);
            let inputs = parts.map(|(range, part)| part.bf16(self.compute, rows.part(range)));
            return inputs.collect();
        }
        let whole = quantized.input(self.compute, rows.view(), layer, self.model.precise);
        if !whole.is_rounded() {
            let inputs = ranges
                .iter()
                .map(|range| LinearInput::precise(rows.part(range)));
            return inputs.collect();
        }
        let inputs = ranges
            .into_iter()
            .zip(parts)
            .map(|(range, part)| part.part(quantized, rows.part(&range), range, layer));
        inputs.collect()
    }

    /// The input of linear layers: rounded once for all of them, as `layer`, one of them, wants it.
    pub(super) fn input<'a>(
        &self,
        rows: ArrayView2<'a, f32>,
        quantized: &'a mut Rounded,
        layer: &Linear,
    ) -> LinearInput<'a> {
        quantized.input(self.compute, rows, layer, self.model.precise)
    }

    /// What a part reads of the residual stream, as the input of linear layers.
    pub(super) fn normed_input<'a>(
        &self,
        before: &Before,
        stream: &'a Rows,
        normed: &'a mut Rows,
        quantized: &'a mut Rounded,
        layer: &Linear,
    ) -> LinearInput<'a> {
        let form = self.form(layer, stream.view().dim());
        match (before, form) {
            (Before::Norm(norm), Form::Blocks) => {
                let (from, to, blocks) = (stream.view(), normed.view_mut(), &mut quantized.blocks);
                norm.apply_quantized(self.compute, from, to, blocks);
                LinearInput::quantized(normed.view(), blocks)
            }
            _ => self.input(before.read(self.compute, stream, normed), quantized, layer),
        }
    }

    /// `gate = activation(gate) · up`, as the input of `layer`.
    pub(super) fn gated_input<'a>(
        &self,
        gate: &'a mut Rows,
        up: &Rows,
        quantized: &'a mut Rounded,
        layer: &Linear,
    ) -> LinearInput<'a> {
        let activation = self.model.spec.activation;
        let compute = self.compute;
        if !matches!(self.form(layer, up.view().dim()), Form::Blocks) {
            ops::activate_gate(compute, gate.view_mut(), up.view(), activation);
            return self.input(gate.view(), quantized, layer);
        }
        let (to, blocks) = (gate.view_mut(), &mut quantized.blocks);
        ops::activate_gate_quantized(compute, to, up.view(), activation, blocks);
        LinearInput::quantized(gate.view(), blocks)
    }

    /// How `layer` wants rows of this shape.
    fn form<'a>(&self, layer: &'a Linear, shape: (usize, usize)) -> Form<'a> {
        Form::of(self.compute, layer, shape, self.model.precise)
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
