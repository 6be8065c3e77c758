//! The head: from the last hidden rows to logits.
//!
//! Of all linear layers the head alone feeds the result directly: what rounding its input to 8 bits takes away is seen
//! in every logit, and is a quarter of the whole path's divergence. So the head multiplies by the rounded row *and* by
//! what rounding lost, rounded again: 16 bits in two halves. For few rows both go through the weights together, which
//! costs no memory traffic; the weights are what the time goes into.

use super::buffers::{Buffers, Rows};
use super::forward::Pass;
use super::weights::Transformer;
use dino_kernels::ops::{self, LinearInput};
use dino_kernels::{Compute, QuantizedRows};
use ndarray::{ArrayViewMut2, Axis, Zip};

/// Rows up to which a row and its rest go through the weights together.
const TOGETHER: usize = 4;

/// What the head works in.
#[derive(Default)]
pub(super) struct HeadBuffers {
    /// What rounding took from the rows, `[wanted, hidden]`.
    rest: Rows,
    /// The rows, then their rests, `[2 × wanted, hidden]`.
    both: Rows,
    /// Their products, `[2 × wanted, vocabulary]`.
    products: Rows,
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
    fn apply_head(
        &self,
        compute: &Compute,
        buffers: &mut Buffers,
        mut logits: ArrayViewMut2<'_, f32>,
    ) {
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
        quantized.fill(compute, rows);
        head.rest.resize(rows.nrows(), rows.ncols());
        quantized.rest(rows, head.rest.view_mut());
        if rows.nrows() <= TOGETHER {
            return self.apply_head_together(compute, normed, head, quantized, logits);
        }
        let input = LinearInput::quantized(rows, quantized);
        let store = ops::Linear::store(&self.head, None, logits.view_mut());
        ops::linear(compute, input, &[store]);
        quantized.fill(compute, head.rest.view());
        let input = LinearInput::quantized(head.rest.view(), quantized);
        let add = ops::Linear::add(&self.head, bias, logits);
        ops::linear(compute, input, &[add]);
    }

    fn apply_head_together(
        &self,
        compute: &Compute,
        normed: &Rows,
        head: &mut HeadBuffers,
        quantized: &mut QuantizedRows,
        mut logits: ArrayViewMut2<'_, f32>,
    ) {
        let (rows, columns) = normed.view().dim();
        head.both.resize(2 * rows, columns);
        let (mut first, mut second) = head.both.view_mut().split_at(Axis(0), rows);
        first.assign(&normed.view());
        second.assign(&head.rest.view());
        quantized.fill(compute, head.both.view());
        head.products.resize(2 * rows, self.config.vocabulary);
        let input = LinearInput::quantized(head.both.view(), quantized);
        let store = ops::Linear::store(&self.head, None, head.products.view_mut());
        ops::linear(compute, input, &[store]);
        let (products, rests) = head.products.view().split_at(Axis(0), rows);
        let all = Zip::from(logits.view_mut()).and(products).and(rests);
        all.for_each(|logit, product, rest| *logit = product + rest);
        if let Some(bias) = &self.head_bias {
            for mut logits in logits.rows_mut() {
                logits
                    .iter_mut()
                    .zip(bias)
                    .for_each(|(logit, bias)| *logit += bias);
            }
        }
    }
}
