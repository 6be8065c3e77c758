//! The kernels of linear layers.

use super::Kernels;
use crate::output::Output;
use crate::packed::{FloatGroup, PackedWeight};
use crate::quantized::InputBlock;
use crate::{QuantizedRows, Tuning};
use std::ops::Range;

/// Kernels of linear layers for one instruction set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinearKernels {
    /// Rows that a register of this set holds: the lanes that weights are packed for.
    pub(crate) lanes: usize,
    /// What was good where the set was written.
    pub(crate) tuning: Tuning,
    pub(crate) quantize_row: unsafe fn(&[f32], &mut [InputBlock]),
    pub(crate) quantized: unsafe fn(&QuantizedTask<'_>),
    pub(crate) float: unsafe fn(&FloatTask<'_>),
}

/// Some groups of a quantized weight times all rows of an 8-bit input.
pub(crate) struct QuantizedTask<'a> {
    pub(crate) weight: &'a PackedWeight,
    pub(crate) groups: Range<usize>,
    pub(crate) input: &'a QuantizedRows,
    pub(crate) output: &'a Output<'a>,
    pub(crate) tuning: Tuning,
}

/// One group of a float weight times all rows of a float input.
pub(crate) struct FloatTask<'a> {
    pub(crate) group: FloatGroup<'a>,
    /// The first output feature of the group.
    pub(crate) first: usize,
    pub(crate) lanes: usize,
    pub(crate) columns: usize,
    /// `[tokens, columns]`.
    pub(crate) input: &'a [f32],
    pub(crate) output: &'a Output<'a>,
}

/// Runs groups of an unpacked weight, some at a time, which are interleaved before.
pub(super) fn in_parts(
    weight: &PackedWeight,
    mut groups: Range<usize>,
    run: impl Fn(&PackedWeight, Range<usize>),
) {
    /// What kernels take side by side.
    const GROUPS: usize = 2;
    while !groups.is_empty() {
        let part = groups.start..(groups.start + GROUPS).min(groups.end);
        groups.start = part.end;
        run(&weight.interleaved(part.clone()), part);
    }
}

impl Kernels {
    /// Rows that weights must be packed for, to be used with these kernels.
    pub fn lanes(&self) -> usize {
        self.linear.lanes
    }

    /// The ways that this set's linear layers take where nothing was measured.
    pub fn tuning(&self) -> Tuning {
        self.linear.tuning
    }

    /// Quantizes values, 32 to a block.
    ///
    /// # Panics
    /// If there are more or fewer.
    pub(crate) fn quantize_row(&self, source: &[f32], blocks: &mut [InputBlock]) {
        assert_eq!(source.len(), 32 * blocks.len(), "32 values a block");
        // SAFETY: the table is only handed out where its instruction set was detected; the lengths
        // that the kernel relies on were checked above.
        unsafe { (self.linear.quantize_row)(source, blocks) }
    }

    /// Makes sure of what every product of `input`, `[tokens, columns]`, with groups of a weight relies on.
    ///
    /// # Panics
    /// If the weight was packed for other kernels, or they do not fit.
    pub(super) fn check_product(
        &self,
        weight: &PackedWeight,
        groups: &Range<usize>,
        [tokens, columns]: [usize; 2],
        output: &Output<'_>,
    ) {
        assert_eq!(
            weight.lanes(),
            self.linear.lanes,
            "weight packed for these kernels"
        );
        assert_eq!(weight.columns(), columns, "in_features");
        assert_eq!(tokens, output.tokens(), "tokens");
        assert!(groups.end <= weight.groups(), "groups of the weight");
    }

    /// Runs a quantized task. Tasks that run at once must not share groups of one output.
    pub(crate) fn quantized(&self, task: &QuantizedTask<'_>) {
        let input = [task.input.tokens(), task.input.columns()];
        self.check_product(task.weight, &task.groups, input, task.output);
        if task.weight.is_sparse() {
            return self.sparse(task);
        }
        if task.weight.is_unpacked() {
            return in_parts(task.weight, task.groups.clone(), |weight, groups| {
                self.quantized(&QuantizedTask {
                    weight,
                    groups,
                    ..*task
                });
            });
        }
        // SAFETY: detection as above; shapes were checked, and views of the weight check their own.
        unsafe { (self.linear.quantized)(task) }
    }

    /// Runs a float task. Tasks that run at once must not share columns of one output.
    pub(crate) fn float(&self, task: &FloatTask<'_>) {
        assert_eq!(
            task.lanes, self.linear.lanes,
            "weight packed for these kernels"
        );
        assert_eq!(task.group.len(), task.columns * task.lanes, "a whole group");
        assert_eq!(
            task.input.len(),
            task.columns * task.output.tokens(),
            "a whole input"
        );
        // SAFETY: detection and shapes as above.
        unsafe { (self.linear.float)(task) }
    }
}
