//! The input of linear layers, rounded as their weights want it.

use crate::arch::Linear;
use dino_kernels::ops::LinearInput;
use dino_kernels::{Compute, Int8Rows, QuantizedRows};
use ndarray::ArrayView2;
use std::ops::Range;
use std::sync::Arc;

/// Room for rows in 8 bits: with a scale for every 16 values, for weights in blocks, or with one a row, for int8 weights.
#[derive(Debug, Default)]
pub(crate) struct Rounded {
    pub(crate) blocks: QuantizedRows,
    int8: Int8Rows,
}

impl Rounded {
    /// `rows` as `layer` and all that want the same read them.
    pub(crate) fn input<'a>(
        &'a mut self,
        compute: &Compute,
        rows: ArrayView2<'a, f32>,
        layer: &Linear,
        precise: bool,
    ) -> LinearInput<'a> {
        if let Some(input) = &layer.int8 {
            self.int8.fill(compute, rows, input);
            return LinearInput::int8(rows, &self.int8);
        }
        if !Self::takes_blocks(layer, rows.ncols(), precise) {
            return LinearInput::precise(rows);
        }
        self.blocks.fill(compute, rows);
        LinearInput::quantized(rows, &self.blocks)
    }

    /// Whether `layer` reads rows of so many columns from [`Self::blocks`].
    pub(crate) fn takes_blocks(layer: &Linear, columns: usize, precise: bool) -> bool {
        layer.int8.is_none() && !precise && columns.is_multiple_of(32)
    }

    /// `part`, which are the rows `range` of what `whole` was filled with for `layer`.
    pub(crate) fn part<'a>(
        &'a mut self,
        whole: &Self,
        part: ArrayView2<'a, f32>,
        range: Range<usize>,
        layer: &Linear,
    ) -> LinearInput<'a> {
        if layer.int8.is_some() {
            self.int8.copy_rows(&whole.int8, range);
            return LinearInput::int8(part, &self.int8);
        }
        self.blocks.copy_rows(&whole.blocks, range);
        LinearInput::quantized(part, &self.blocks)
    }
}

/// Whether `layer` reads what `input` holds: both int8, rounded in one way, or neither.
pub(crate) fn reads(layer: &Linear, input: &LinearInput<'_>) -> bool {
    match (&layer.int8, input.int8_input()) {
        (Some(wanted), Some(found)) => Arc::ptr_eq(wanted, found),
        (wanted, found) => wanted.is_none() && found.is_none(),
    }
}
