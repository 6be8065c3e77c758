//! The input of linear layers, rounded as their weights want it.

use crate::arch::Linear;
use dino_kernels::ops::LinearInput;
use dino_kernels::{Bf16Rows, Compute, Int8Input, Int8Rows, QuantizedRows};
use ndarray::ArrayView2;
use std::ops::Range;
use std::sync::Arc;

/// Room for rows in 8 bits: with a scale for every 16 values, for weights in blocks, or with one a row, for int8 weights;
/// and for rows of bf16.
#[derive(Debug, Default)]
pub(crate) struct Rounded {
    pub(crate) blocks: QuantizedRows,
    bf16: Bf16Rows,
    int8: Int8Rows,
}

/// How a layer wants its input.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form<'a> {
    /// As it is.
    Plain,
    /// In 8 bits, a block at a time.
    Blocks,
    Bf16,
    Int8(&'a Arc<Int8Input>),
}

impl<'a> Form<'a> {
    /// That of `layer` for rows of this shape, `[tokens, in_features]`.
    pub(crate) fn of(
        compute: &Compute,
        layer: &'a Linear,
        (tokens, columns): (usize, usize),
        precise: bool,
    ) -> Self {
        if let Some(input) = &layer.int8 {
            Self::Int8(input)
        } else if precise {
            Self::Plain
        } else if compute.kernels.takes_bf16(&layer.weight, tokens) {
            Self::Bf16
        } else if columns.is_multiple_of(32) {
            Self::Blocks
        } else {
            Self::Plain
        }
    }

    /// Whether a layer that wants this reads what `input` holds.
    pub(crate) fn is_of(self, input: &LinearInput<'_>) -> bool {
        match (self, input.int8_input()) {
            (Self::Int8(wanted), Some(found)) => Arc::ptr_eq(wanted, found),
            (Self::Int8(_), None) | (_, Some(_)) => false,
            (Self::Bf16, None) => input.is_bf16(),
            (Self::Plain | Self::Blocks, None) => !input.is_bf16(),
        }
    }
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
        match Form::of(compute, layer, rows.dim(), precise) {
            Form::Int8(input) => {
                self.int8.fill(compute, rows, input);
                LinearInput::int8(rows, &self.int8)
            }
            Form::Bf16 => self.bf16(compute, rows),
            Form::Blocks => {
                self.blocks.fill(compute, rows);
                LinearInput::quantized(rows, &self.blocks)
            }
            Form::Plain => LinearInput::precise(rows),
        }
    }

    /// `rows` in bf16.
    pub(crate) fn bf16<'a>(
        &'a mut self,
        compute: &Compute,
        rows: ArrayView2<'a, f32>,
    ) -> LinearInput<'a> {
        self.bf16.fill(compute, rows);
        LinearInput::bf16(rows, &self.bf16)
    }

    /// `part`, which are the rows `range` of what `whole` was filled with for `layer`, in 8 bits.
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
