//! The head: from the last hidden rows to logits.
//!
//! Of all linear layers the head alone feeds the result directly: what rounding its input to 8 bits takes away is seen
//! in every logit, and is a quarter of the whole path's divergence. So the head multiplies by the rounded row *and* by
//! what rounding lost, rounded again: 16 bits in two halves. Both go through the weights together, and their results are
//! added where they are stored.

use super::buffers::{Buffers, Rows};
use super::forward::Pass;
use super::weights::Transformer;
use dino_kernels::Compute;
use dino_kernels::ops::{self, LinearInput};
use ndarray::{ArrayViewMut2, Axis};

/// What the head works in.
#[derive(Default)]
pub(super) struct HeadBuffers {
    /// The rows, then what rounding took from them, `[2 × wanted, hidden]`.
    both: Rows,
}

impl Pass<'_> {
    /// The wanted rows alone, as the head takes them: it is a large part of a small model.
    pub(super) fn norm_wanted(&mut self) {
        let (model, compute) = (self.context.model, self.context.compute);
        let wanted_rows = self.context.batch.wanted();
        let Buffers {
            stream,
            wanted,
            normed,
            ..
        } = &mut *self.buffers;
        for (&row, mut to) in wanted_rows.iter().zip(wanted.view_mut().rows_mut()) {
            to.assign(&stream.view().row(row));
        }
        normed.resize(wanted_rows.len(), model.spec.hidden);
        let (input, output) = (wanted.view(), normed.view_mut());
        model.norm.apply_to(compute, input, output);
    }
}

impl Transformer {
    /// Logits of the rows that [`Pass::norm_wanted`] has left.
    pub(super) fn head(&self, compute: &Compute, buffers: &mut Buffers, logits: &mut [f32]) {
        let shape = (buffers.normed.view().nrows(), self.config.vocabulary);
        let logits = ArrayViewMut2::from_shape(shape, logits);
        let mut logits = logits.expect("logits of the wanted rows");
        self.apply_head(compute, buffers, logits.view_mut());
        if let Some(factor) = self.spec.logit_scale {
            ops::scale(compute, logits.view_mut(), factor);
        }
        if let Some(cap) = self.spec.logit_softcap {
            ops::soft_cap(compute, logits, cap);
        }
    }

    /// `logits = normed · headᵀ`, `[wanted, vocabulary]`.
    fn apply_head(&self, compute: &Compute, buffers: &mut Buffers, logits: ArrayViewMut2<'_, f32>) {
        let Buffers {
            normed,
            quantized,
            head,
            ..
        } = buffers;
        let bias = self.head_bias.as_deref();
        let rows = normed.view();
        if let Some(watch) = &self.head_watch {
            watch.show(rows);
        }
        let whole_blocks = rows.ncols().is_multiple_of(32);
        if self.precise || !self.head.dtype().is_quantized() || !whole_blocks {
            let store = ops::Linear::store(&self.head, bias, logits);
            return ops::linear(compute, LinearInput::precise(rows), &[store]);
        }
        let quantized = &mut quantized.blocks;
        // The rows, then what rounding takes from them.
        let (count, columns) = rows.dim();
        head.both.resize(2 * count, columns);
        let (mut first, rest) = head.both.view_mut().split_at(Axis(0), count);
        first.assign(&rows);
        quantized.fill(compute, rows);
        quantized.rest(rows, rest);
        quantized.fill(compute, head.both.view());
        let input = LinearInput::quantized(head.both.view(), quantized);
        let sums = ops::Linear::store_folded(&self.head, bias, logits);
        ops::linear(compute, input, &[sums]);
    }
}
