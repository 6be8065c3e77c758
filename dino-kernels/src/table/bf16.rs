//! The kernels of products of bf16.

use super::Kernels;
use super::linear::in_parts;
use crate::bf16::{Bf16Line, Bf16Rows, TILE_COLUMNS};
use crate::output::Output;
use crate::packed::PackedWeight;
use dino_core::DType;
use std::ops::Range;

/// Kernels that multiply weights and inputs, both rounded to bf16, and add in f32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bf16Kernels {
    /// Rounds rows of so many columns into the lines of a block; see [`Bf16Rows::block`].
    pub(crate) round: unsafe fn(&[f32], usize, &mut [Bf16Line]),
    pub(crate) multiply: unsafe fn(&Bf16Task<'_>),
    pub(crate) used: Bf16Use,
}

/// For which weights the products of bf16 are the faster ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bf16Use {
    /// For those of BF16, with any number of rows.
    pub(crate) own: bool,
    /// For those of all types but F32, from so many rows of input on.
    pub(crate) all_from: usize,
}

impl Bf16Use {
    pub(crate) const NEVER: Self = Self {
        own: false,
        all_from: usize::MAX,
    };
    pub(crate) const OWN: Self = Self {
        own: true,
        ..Self::NEVER
    };
    /// Of rows that share what is unpacked of a weight, from 32 on they are faster than products of bytes by
    /// AVX-512 (`docs/performance.md`).
    pub(crate) const MANY: Self = Self {
        own: true,
        all_from: 32,
    };
}

/// Values of a weight from which it is worth to be unpacked for tiles: below, other work is most of the time.
const LARGE: usize = 1 << 15;

/// Some groups of a weight times all rows of an input.
pub(crate) struct Bf16Task<'a> {
    /// Of any type but int8.
    pub(crate) weight: &'a PackedWeight,
    pub(crate) groups: Range<usize>,
    pub(crate) input: &'a Bf16Rows,
    pub(crate) output: &'a Output<'a>,
}

impl Kernels {
    /// Whether `weight` is best multiplied by rows of bf16 ([`LinearInput::bf16`](crate::ops::LinearInput::bf16)), of which
    /// there are `tokens`.
    ///
    /// F32 weights never are: who keeps them wants their precision.
    pub fn takes_bf16(&self, weight: &PackedWeight, tokens: usize) -> bool {
        let used = self.bf16.used;
        if weight.is_int8() || weight.is_sparse() || weight.dtype() == DType::F32 {
            return false;
        }
        let is_own = used.own && weight.dtype() == DType::BF16;
        is_own || (tokens >= used.all_from && weight.rows() * weight.columns() >= LARGE)
    }

    /// Rounds rows of `columns` values into the lines of a block.
    ///
    /// # Panics
    /// If they do not fit.
    pub(crate) fn round_to_bf16(&self, source: &[f32], columns: usize, lines: &mut [Bf16Line]) {
        let (rows, chunks) = (source.len() / columns, columns.div_ceil(TILE_COLUMNS));
        assert_eq!(source.len(), rows * columns, "whole rows");
        assert_eq!(lines.len(), rows * chunks, "a line for 32 columns");
        // SAFETY: the table is only handed out where its instruction set was detected; lengths were checked.
        unsafe { (self.bf16.round)(source, columns, lines) }
    }

    /// Runs a task of bf16. Tasks that run at once must not share groups of one output.
    pub(crate) fn bf16(&self, task: &Bf16Task<'_>) {
        let input = [task.input.tokens(), task.input.columns()];
        self.check_product(task.weight, &task.groups, input, task.output);
        assert!(!task.weight.is_int8(), "a weight of blocks or floats");
        if task.weight.is_unpacked() {
            return in_parts(task.weight, task.groups.clone(), |weight, groups| {
                self.bf16(&Bf16Task {
                    weight,
                    groups,
                    ..*task
                });
            });
        }
        // SAFETY: detection as above; shapes were checked, and views of the weight check their own.
        unsafe { (self.bf16.multiply)(task) }
    }
}
