//! The forward pass.

use super::buffers::{Buffers, Rows};
use super::weights::{Layer, NormWeights, Transformer};
use crate::arch::{Activation, Linear, Norm};
use crate::{Batch, Cache, CausalLm, Config, ModelError, Scratch};
use dino_kernels::ops::{self, Attention, AttentionSpan, EmbeddingTable, LinearInput};
use dino_kernels::{Compute, QuantizedRows};
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
        buffers.window_angles.clear();
        for span in batch.spans() {
            let start = cache.len(span.sequence)?;
            cache.reserve(span.sequence, span.rows.len())?;
            let positions = start..start + span.rows.len();
            if let Some(rope) = &self.window_rope {
                buffers.window_angles.extend(rope, positions.clone());
            }
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

    /// What a part with `norms` reads of the residual stream.
    fn read<'a>(
        &self,
        compute: &Compute,
        stream: &'a Rows,
        norms: &NormWeights,
        normed: &'a mut Rows,
    ) -> ArrayView2<'a, f32> {
        let Some(weight) = &norms.before else {
            return stream.view();
        };
        self.norm(compute, stream, weight, normed);
        normed.view()
    }

    /// Adds what a part makes of `input` to the residual stream, normalised and scaled where the model does so.
    fn add(
        &self,
        compute: &Compute,
        input: LinearInput<'_>,
        (linear, norm): Output<'_>,
        branch: &mut Rows,
        stream: &mut Rows,
    ) {
        if norm.is_none() && self.spec.residual_scale.is_none() {
            ops::linear(compute, input, &[add(linear, stream)]);
            return;
        }
        ops::linear(compute, input, &[store(linear, branch)]);
        if let Some(weight) = norm {
            let Norm::Rms { epsilon } = self.spec.norm;
            ops::rms_norm_heads(compute, branch.view_mut(), weight, epsilon);
        }
        let factor = self.spec.residual_scale.unwrap_or(1.0);
        ops::add_scaled(compute, stream.view_mut(), branch.view(), factor);
    }

    /// The positions that a token sees in `layer`; `None` for all.
    fn window(&self, layer: usize) -> Option<usize> {
        self.spec.window?.of_layer(layer)
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

/// A part's last matrix, and the weights of the norm behind it.
type Output<'a> = (&'a Linear, Option<&'a [f32]>);

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
        if let Some(factor) = self.model.spec.embedding_scale {
            ops::scale(self.compute, self.buffers.stream.view_mut(), factor);
        }
        for (index, layer) in self.model.layers.iter().enumerate() {
            self.project(layer);
            self.rotate(index);
            self.append(index)?;
            self.attend(index)?;
            self.add_attention(layer);
            self.feed_forward(layer);
        }
        self.head(logits);
        Ok(())
    }

    /// Queries, keys and values of the new tokens.
    fn project(&mut self, layer: &Layer) {
        let Buffers {
            stream,
            normed,
            queries,
            keys,
            values,
            quantized,
            ..
        } = &mut *self.buffers;
        let model = self.model;
        let rows = model.read(self.compute, stream, &layer.attention_norms, normed);
        let input = model.input(self.compute, rows, quantized);
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
    }

    /// Turns queries and keys to their positions.
    fn rotate(&mut self, layer: usize) {
        let Buffers {
            queries,
            keys,
            angles,
            window_angles,
            ..
        } = &mut *self.buffers;
        let model = self.model;
        let local = model.window_rope.is_some() && model.window(layer).is_some();
        let angles = if local { window_angles } else { angles };
        let (head_dim, pairing) = (model.spec.head_dim, model.spec.rope.pairing);
        for rotated in [queries, keys] {
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
            scale: spec.attention_scale,
            softcap: spec.attention_softcap,
            window: self.model.window(layer),
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
            branch,
            quantized,
            ..
        } = &mut *self.buffers;
        let model = self.model;
        let input = model.input(self.compute, attended.view(), quantized);
        let norm = layer.attention_norms.after.as_deref();
        model.add(self.compute, input, (&layer.output, norm), branch, stream);
    }

    fn feed_forward(&mut self, layer: &Layer) {
        let Buffers {
            stream,
            normed,
            gate,
            up,
            branch,
            quantized,
            ..
        } = &mut *self.buffers;
        let model = self.model;
        let rows = model.read(self.compute, stream, &layer.feed_forward_norms, normed);
        let input = model.input(self.compute, rows, quantized);
        ops::linear(
            self.compute,
            input,
            &[store(&layer.gate, gate), store(&layer.up, up)],
        );
        let activation = match model.spec.activation {
            Activation::Silu => dino_kernels::Activation::Silu,
            Activation::GeluTanh => dino_kernels::Activation::GeluTanh,
        };
        ops::activate_gate(self.compute, gate.view_mut(), up.view(), activation);
        let input = model.input(self.compute, gate.view(), quantized);
        let norm = layer.feed_forward_norms.after.as_deref();
        model.add(self.compute, input, (&layer.down, norm), branch, stream);
    }

    /// Logits of the wanted rows alone: the head is a large part of a small model.
    fn head(&mut self, logits: &mut [f32]) {
        let Buffers {
            stream,
            wanted,
            normed,
            ..
        } = &mut *self.buffers;
        for (&row, mut to) in self.batch.wanted().iter().zip(wanted.view_mut().rows_mut()) {
            to.assign(&stream.view().row(row));
        }
        let model = self.model;
        let shape = (self.batch.wanted().len(), model.config.vocabulary);
        normed.resize(shape.0, model.spec.hidden);
        model.norm(self.compute, wanted, &model.norm, normed);
        let logits = ndarray::ArrayViewMut2::from_shape(shape, logits);
        let mut logits = logits.expect("logits of the wanted rows");
        model.apply_head(self.compute, self.buffers, logits.view_mut());
        if let Some(factor) = model.spec.logit_scale {
            ops::scale(self.compute, logits.view_mut(), factor);
        }
        if let Some(cap) = model.spec.logit_softcap {
            ops::soft_cap(self.compute, logits, cap);
        }
    }
}

fn store<'a>(layer: &'a Linear, to: &'a mut Rows) -> ops::Linear<'a> {
    ops::Linear::store(&layer.weight, layer.bias.as_deref(), to.view_mut())
}

fn add<'a>(layer: &'a Linear, to: &'a mut Rows) -> ops::Linear<'a> {
    ops::Linear::add(&layer.weight, layer.bias.as_deref(), to.view_mut())
}
