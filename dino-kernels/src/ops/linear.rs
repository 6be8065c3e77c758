//! Linear layers: `output = input · weightᵀ`, for one row and for many.

use crate::output::Output;
use crate::packed::PackedWeight;
use crate::table::{Bf16Task, FloatTask, Int8Task, QuantizedTask};
use crate::{Bf16Rows, Compute, Int8Input, Int8Rows, QuantizedRows, Tuning};
use dino_core::DType;
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Range;
use std::sync::Arc;

/// The rows that linear layers read, `[tokens, in_features]`.
#[derive(Clone, Copy)]
pub struct LinearInput<'a> {
    rows: ArrayView2<'a, f32>,
    rounded: Rounded<'a>,
}

/// The rows once more, as weights of a kind want them.
#[derive(Clone, Copy)]
enum Rounded<'a> {
    No,
    Blocks(&'a QuantizedRows),
    Bf16(&'a Bf16Rows),
    Int8(&'a Int8Rows),
}

impl<'a> LinearInput<'a> {
    /// Multiplies in f32: quantized weights are widened first. Slow and precise.
    pub fn precise(rows: ArrayView2<'a, f32>) -> Self {
        Self {
            rows,
            rounded: Rounded::No,
        }
    }

    /// Multiplies quantized weights by 8-bit rows (f32 ones still by f32 rows).
    ///
    /// # Panics
    /// If `quantized` does not have the shape of `rows`.
    pub fn quantized(rows: ArrayView2<'a, f32>, quantized: &'a QuantizedRows) -> Self {
        assert_eq!(
            rows.dim(),
            (quantized.tokens(), quantized.columns()),
            "the same rows twice"
        );
        Self {
            rows,
            rounded: Rounded::Blocks(quantized),
        }
    }

    /// Multiplies weights of any type, rounded to bf16, by rows of bf16 (F32 ones still by f32 rows); see
    /// [`Kernels::takes_bf16`](crate::Kernels::takes_bf16).
    ///
    /// # Panics
    /// If `rounded` does not have the shape of `rows`.
    pub fn bf16(rows: ArrayView2<'a, f32>, rounded: &'a Bf16Rows) -> Self {
        assert_eq!(
            rows.dim(),
            (rounded.tokens(), rounded.columns()),
            "the same rows twice"
        );
        Self {
            rows,
            rounded: Rounded::Bf16(rounded),
        }
    }

    /// Multiplies int8 weights by 8-bit rows; see [`PackedWeight::pack_int8`].
    ///
    /// # Panics
    /// If `int8` does not have the shape of `rows`.
    pub fn int8(rows: ArrayView2<'a, f32>, int8: &'a Int8Rows) -> Self {
        assert_eq!(
            rows.dim(),
            (int8.tokens(), int8.columns()),
            "the same rows twice"
        );
        Self {
            rows,
            rounded: Rounded::Int8(int8),
        }
    }

    /// How many rows there are.
    pub(super) fn tokens(&self) -> usize {
        self.rows.nrows()
    }

    /// Whether there is a rounded form of the rows.
    pub fn is_rounded(&self) -> bool {
        !matches!(self.rounded, Rounded::No)
    }

    /// Whether the rounded form is bf16.
    pub fn is_bf16(&self) -> bool {
        matches!(self.rounded, Rounded::Bf16(_))
    }

    /// How rows for int8 weights were rounded; `None` if these are not.
    pub fn int8_input(&self) -> Option<&'a Arc<Int8Input>> {
        match self.rounded {
            Rounded::Int8(rows) => rows.input(),
            _ => None,
        }
    }

    /// The rows before any rounding.
    pub fn rows(&self) -> ArrayView2<'a, f32> {
        self.rows
    }
}

/// One layer's weight, and where its result goes.
pub struct Linear<'a> {
    weight: &'a PackedWeight,
    output: Output<'a>,
}

impl<'a> Linear<'a> {
    /// Stores the result, plus `bias` (`[out_features]`), in `output` (`[tokens, out_features]`).
    ///
    /// # Panics
    /// If shapes do not fit or `output` is not in standard layout.
    pub fn store(
        weight: &'a PackedWeight,
        bias: Option<&'a [f32]>,
        output: ArrayViewMut2<'a, f32>,
    ) -> Self {
        assert_eq!(
            output.ncols(),
            weight.rows(),
            "out_features of weight and output"
        );
        Self {
            weight,
            output: Output::new(output, bias, false),
        }
    }

    /// Adds the result, plus `bias`, to `output`: the residual connection for free.
    ///
    /// # Panics
    /// If shapes do not fit or `output` is not in standard layout.
    pub fn add(
        weight: &'a PackedWeight,
        bias: Option<&'a [f32]>,
        output: ArrayViewMut2<'a, f32>,
    ) -> Self {
        assert_eq!(
            output.ncols(),
            weight.rows(),
            "out_features of weight and output"
        );
        Self {
            weight,
            output: Output::new(output, bias, true),
        }
    }
}

impl<'a> Linear<'a> {
    /// Stores the sums of two results, plus `bias`, in `output`, `[rows, out_features]`: the input has twice as many rows, of
    /// which those of the second half belong to those of the first.
    ///
    /// # Panics
    /// If shapes do not fit or `output` is not in standard layout.
    pub fn store_folded(
        weight: &'a PackedWeight,
        bias: Option<&'a [f32]>,
        output: ArrayViewMut2<'a, f32>,
    ) -> Self {
        assert_eq!(
            output.ncols(),
            weight.rows(),
            "out_features of weight and output"
        );
        Self {
            weight,
            output: Output::folded(output, bias),
        }
    }
}

impl Linear<'_> {
    /// Groups of the weight's rows.
    pub(super) fn groups(&self) -> usize {
        self.weight.groups()
    }

    /// How many groups are worth a task of their own.
    pub(super) fn groups_a_task(&self, input: &LinearInput<'_>, tuning: Tuning) -> usize {
        Plan::new(std::slice::from_ref(self), input, tuning).groups_a_task
    }

    /// # Panics
    /// If `input` is of another shape.
    pub(super) fn check(&self, input: &LinearInput<'_>) {
        assert_eq!(
            self.weight.columns(),
            input.rows.ncols(),
            "in_features of weight and input"
        );
        assert_eq!(
            self.output.tokens(),
            input.tokens(),
            "rows of input and output"
        );
    }
}

/// Runs `layers`, which share their input, as one parallel region.
///
/// # Panics
/// If shapes do not fit, or a weight is an int8 one and the input is not.
pub fn linear(compute: &Compute, input: LinearInput<'_>, layers: &[Linear<'_>]) {
    let tokens = input.rows.nrows();
    layers.iter().for_each(|layer| layer.check(&input));
    if tokens == 0 {
        return;
    }
    let tuning = compute.tuning();
    let plan = Plan::new(layers, &input, tuning);
    compute.pool.run(plan.tasks(layers), |task| {
        let (layer, groups) = plan.task(layers, task);
        run_groups((compute, tuning), input, &layers[layer], groups);
    });
}

/// How the groups of several layers are cut into tasks.
struct Plan {
    groups_a_task: usize,
}

impl Plan {
    fn new(layers: &[Linear<'_>], input: &LinearInput<'_>, tuning: Tuning) -> Self {
        let tokens = input.tokens();
        let work = layers
            .iter()
            .map(|l| tokens * l.weight.columns() * l.weight.lanes());
        let work = work.max().unwrap_or(1).max(1);
        // With many tokens, and of bf16, kernels take groups in pairs, those of int8 weights in fours.
        let least = match tokens {
            _ if input.is_bf16() => 2,
            ..8 => 1,
            _ if layers.iter().any(|layer| layer.weight.is_int8()) => 4,
            _ => 2,
        };
        Self {
            groups_a_task: (tuning.task_work / work).clamp(least, 64),
        }
    }

    fn tasks_of(&self, layer: &Linear<'_>) -> usize {
        layer.weight.groups().div_ceil(self.groups_a_task)
    }

    fn tasks(&self, layers: &[Linear<'_>]) -> usize {
        layers.iter().map(|layer| self.tasks_of(layer)).sum()
    }

    fn task(&self, layers: &[Linear<'_>], mut task: usize) -> (usize, Range<usize>) {
        let mut index = 0;
        while task >= self.tasks_of(&layers[index]) {
            task -= self.tasks_of(&layers[index]);
            index += 1;
        }
        let start = task * self.groups_a_task;
        (
            index,
            start..(start + self.groups_a_task).min(layers[index].weight.groups()),
        )
    }
}

/// Multiplies by some groups of a layer's weight.
pub(super) fn run_groups(
    (compute, tuning): (&Compute, Tuning),
    input: LinearInput<'_>,
    layer: &Linear<'_>,
    groups: Range<usize>,
) {
    let Linear { weight, output } = layer;
    match input.rounded {
        Rounded::Int8(input) if weight.is_int8() => compute.kernels.int8(&Int8Task {
            weight,
            groups,
            input,
            output,
        }),
        Rounded::Bf16(input) if !weight.is_int8() && weight.dtype() != DType::F32 => {
            compute.kernels.bf16(&Bf16Task {
                weight,
                groups,
                input,
                output,
            });
        }
        _ if weight.is_int8() => panic!("{} is int8: its input must be, too", weight.name()),
        Rounded::Blocks(input) if weight.dtype().is_quantized() => {
            compute.kernels.quantized(&QuantizedTask {
                weight,
                groups,
                input,
                output,
                tuning,
            });
        }
        _ => {
            let input = input.rows.to_slice().expect("an input in standard layout");
            let mut panel = Vec::new();
            if weight.dtype().is_quantized() {
                panel.resize(weight.columns() * weight.lanes(), 0.0);
            }
            for index in groups {
                let interleaved = weight
                    .is_unpacked()
                    .then(|| weight.interleaved(index..index + 1));
                let weight = interleaved.as_ref().unwrap_or(weight);
                let group = if panel.is_empty() {
                    weight.float_group(index)
                } else {
                    weight.unpack_group(index, &mut panel);
                    crate::packed::FloatGroup::F32(&panel)
                };
                let (lanes, columns) = (weight.lanes(), weight.columns());
                let first = index * lanes;
                compute.kernels.float(&FloatTask {
                    group,
                    first,
                    lanes,
                    columns,
                    input,
                    output,
                });
            }
        }
    }
}

#[cfg(test)]
#[path = "linear_tests.rs"]
mod tests;
