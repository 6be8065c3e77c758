//! The forward pass.

use super::buffers::{Buffers, Rows};
use super::weights::{Layer, Transformer};
use crate::arch::{Linear, Norm};
use crate::{Batch, Cache, CausalLm, Config, ModelError, Scratch};
use dino_kernels::ops::{self, Attention, AttentionSpan, EmbeddingTable, LinearInput};
use dino_kernels::{Activation, Compute, QuantizedRows};
use ndarray::ArrayView2;

impl CausalLm for Transformer {
    fn config(&self) -> &Config {
        &self.config
    }

    fn forward(
        &self,
        compute: &Compute,
        batch: &Batch,
        cache: &mut Cache,
        scratch: &mut Scratch,
    ) -> Result<(), ModelError> {
        self.check_tokens(batch)?;
        let (buffers, logits) =
            scratch.prepare::<Buffers>(batch.wanted().len(), self.config.vocabulary);
        buffers.resize(&self.spec, batch.tokens().len(), batch.wanted().len());
        buffers.angles.clear();
        for span in batch.spans() {
            let start = cache.len(span.sequence)?;
            cache.reserve(span.sequence, span.rows.len())?;
            let positions = start..start + span.rows.len();
            buffers.angles.extend(&self.rope, positions);
        }
        Pass {
            model: self,
            compute,
            batch,
            cache,
            buffers,
        }
        .run(logits)?;
        for span in batch.spans() {
            cache.advance(span.sequence, span.rows.len())?;
        }
        Ok(())
    }
}

impl Transformer {
    fn check_tokens(&self, batch: &Batch) -> Result<(), ModelError> {
        let vocabulary = self.config.vocabulary;
        match batch
            .tokens()
            .iter()
            .find(|&&token| token as usize >= vocabulary)
        {
            Some(&token) => Err(ModelError::TokenOutOfRange { token, vocabulary }),
            None => Ok(()),
        }
    }

    fn norm(&self, compute: &Compute, input: &Rows, weight: &[f32], output: &mut Rows) {
        let Norm::Rms { epsilon } = self.spec.norm;
        ops::rms_norm(compute, input.view(), weight, epsilon, output.view_mut());
    }

    /// The input of linear layers: quantized once for all of them, unless the model was loaded to be precise.
    fn input<'a>(
        &self,
        compute: &Compute,
        rows: ArrayView2<'a, f32>,
        quantized: &'a mut QuantizedRows,
    ) -> LinearInput<'a> {
        if self.precise || !rows.ncols().is_multiple_of(32) {
            return LinearInput::precise(rows);
        }
        quantized.fill(compute, rows);
        LinearInput::quantized(rows, quantized)
    }
}

/// One pass and all that it touches.
struct Pass<'a> {
    model: &'a Transformer,
    compute: &'a Compute,
    batch: &'a Batch,
    cache: &'a mut Cache,
    buffers: &'a mut Buffers,
}

impl Pass<'_> {
    fn run(mut self, logits: &mut [f32]) -> Result<(), ModelError> {
        let stream = self.buffers.stream.view_mut();
        let table = match &self.model.embedding {
            Some(table) => EmbeddingTable::Stored(table),
            None => EmbeddingTable::Packed(&self.model.head),
        };
        ops::embed(self.compute, table, self.batch.tokens(), stream)?;
        for (index, layer) in self.model.layers.iter().enumerate() {
            self.project(layer);
            self.append(index)?;
            self.attend(index)?;
            self.add_attention(layer);
            self.feed_forward(layer);
        }
        self.head(logits);
        Ok(())
    }

    /// Queries, keys and values of the new tokens, normalised and rotated to their positions.
    fn project(&mut self, layer: &Layer) {
        let Buffers {
            stream,
            normed,
            queries,
            keys,
            values,
            quantized,
            angles,
            ..
        } = &mut *self.buffers;
        let model = self.model;
        model.norm(self.compute, stream, &layer.attention_norm, normed);
        let input = model.input(self.compute, normed.view(), quantized);
        let layers = [
            store(&layer.query, queries),
            store(&layer.key, keys),
            store(&layer.value, values),
        ];
        ops::linear(self.compute, input, &layers);
        if let Some(norm) = &layer.qk_norm {
            let Norm::Rms { epsilon } = model.spec.norm;
            ops::rms_norm_heads(self.compute, queries.view_mut(), &norm.query, epsilon);
            ops::rms_norm_heads(self.compute, keys.view_mut(), &norm.key, epsilon);
        }
        for rotated in [queries, keys] {
            let (head_dim, pairing) = (model.spec.head_dim, model.spec.rope.pairing);
            ops::rope(self.compute, rotated.view_mut(), head_dim, pairing, angles);
        }
    }

    fn append(&mut self, layer: usize) -> Result<(), ModelError> {
        let Buffers { keys, values, .. } = &*self.buffers;
        for span in self.batch.spans() {
            let start = self.cache.len(span.sequence)?;
            let pages = self.cache.pages_mut(span.sequence)?;
            ops::append(
                layer,
                pages,
                start,
                keys.part(&span.rows),
                values.part(&span.rows),
            );
        }
        Ok(())
    }

    fn attend(&mut self, layer: usize) -> Result<(), ModelError> {
        let Buffers {
            queries,
            attended,
            attention: scratch,
            ..
        } = &mut *self.buffers;
        let spec = &self.model.spec;
        let attention = Attention {
            layer,
            heads: spec.heads,
            kv_heads: spec.kv_heads,
            head_dim: spec.head_dim,
            scale: (spec.head_dim as f32).sqrt().recip(),
            softcap: None,
            window: spec.window,
        };
        let spans = self.batch.spans().iter().map(|span| {
            let start = self.cache.len(span.sequence)?;
            let pages = self.cache.pages(span.sequence)?;
            Ok(AttentionSpan {
                pages,
                start,
                rows: span.rows.clone(),
            })
        });
        let spans = spans.collect::<Result<Vec<_>, ModelError>>()?;
        ops::attend(
            self.compute,
            &attention,
            &spans,
            queries.view(),
            attended.view_mut(),
            scratch,
        );
        Ok(())
    }

    fn add_attention(&mut self, layer: &Layer) {
        let Buffers {
            stream,
            attended,
            quantized,
            ..
        } = &mut *self.buffers;
        let input = self.model.input(self.compute, attended.view(), quantized);
        ops::linear(self.compute, input, &[add(&layer.output, stream)]);
    }

    fn feed_forward(&mut self, layer: &Layer) {
        let Buffers {
            stream,
            normed,
            gate,
            up,
            quantized,
            ..
        } = &mut *self.buffers;
        let model = self.model;
        model.norm(self.compute, stream, &layer.feed_forward_norm, normed);
        let input = model.input(self.compute, normed.view(), quantized);
        ops::linear(
            self.compute,
            input,
            &[store(&layer.gate, gate), store(&layer.up, up)],
        );
        ops::activate_gate(self.compute, gate.view_mut(), up.view(), Activation::Silu);
        let input = model.input(self.compute, gate.view(), quantized);
        ops::linear(self.compute, input, &[add(&layer.down, stream)]);
    }

    /// Logits of the wanted rows alone: the head is a large part of a small model.
    fn head(&mut self, logits: &mut [f32]) {
        let Buffers {
            stream,
            wanted,
            normed,
            quantized,
            ..
        } = &mut *self.buffers;
        for (&row, mut to) in self.batch.wanted().iter().zip(wanted.view_mut().rows_mut()) {
            to.assign(&stream.view().row(row));
        }
        let model = self.model;
        let shape = (self.batch.wanted().len(), model.config.vocabulary);
        normed.resize(shape.0, model.spec.hidden);
        model.norm(self.compute, wanted, &model.norm, normed);
        let input = model.input(self.compute, normed.view(), quantized);
        let logits = ndarray::ArrayViewMut2::from_shape(shape, logits);
        let logits = logits.expect("logits of the wanted rows");
        ops::linear(
            self.compute,
            input,
            &[ops::Linear::store(&model.head, None, logits)],
        );
    }
}

fn store<'a>(layer: &'a Linear, to: &'a mut Rows) -> ops::Linear<'a> {
    ops::Linear::store(&layer.weight, layer.bias.as_deref(), to.view_mut())
}

fn add<'a>(layer: &'a Linear, to: &'a mut Rows) -> ops::Linear<'a> {
    ops::Linear::add(&layer.weight, layer.bias.as_deref(), to.view_mut())
}
