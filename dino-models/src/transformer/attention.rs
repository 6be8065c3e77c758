//! The attention part of a layer.

use super::buffers::Buffers;
use super::forward::Pass;
use super::linear::Job;
use super::norm::{Norm, PartNorms};
use crate::ModelError;
use crate::arch::{Linear, Loader, Matrices, QkNorm, Spec};
use dino_kernels::ops::{self, AttentionSpan};

/// The weights of one layer's attention.
#[derive(Debug)]
pub(super) struct Attention {
    norms: PartNorms,
    query: Linear,
    key: Linear,
    value: Linear,
    /// The norms of queries and keys.
    qk_norm: Option<[Norm; 2]>,
    output: Linear,
}

impl Attention {
    pub(super) fn load(
        spec: &Spec,
        loader: &mut Loader<'_>,
        layer: usize,
    ) -> Result<Self, ModelError> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let (hidden, biases) = (spec.hidden, spec.biases);
        let (queries, keys) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
        let [query, key, value] = match spec.matrices {
            Matrices::Separate | Matrices::FusedGate => [
                loader.linear(&name("attn_q"), [queries, hidden], biases.inputs)?,
                loader.linear(&name("attn_k"), [keys, hidden], biases.inputs)?,
                loader.linear(&name("attn_v"), [keys, hidden], biases.inputs)?,
            ],
            Matrices::Fused => {
                let sizes = [queries, keys, keys];
                loader.fused(&name("attn_qkv"), sizes, hidden, biases.inputs)?
            }
        };
        let norms = [&name("attn_norm")[..], &name("post_attention_norm")];
        Ok(Self {
            norms: PartNorms::load(spec, loader, norms, true)?,
            query,
            key,
            value,
            qk_norm: load_qk_norm(spec, loader, layer)?,
            output: loader.linear(&name("attn_output"), [hidden, queries], biases.output)?,
        })
    }
}

fn load_qk_norm(
    spec: &Spec,
    loader: &mut Loader<'_>,
    layer: usize,
) -> Result<Option<[Norm; 2]>, ModelError> {
    let mut norm = |part: &str, heads: usize| {
        let (kind, head_dim) = (spec.norm, spec.head_dim);
        let name = format!("blk.{layer}.{part}");
        match spec.qk_norm {
            QkNorm::None => Ok(None),
            QkNorm::Heads => Norm::load(kind, loader, &name, head_dim).map(Some),
            QkNorm::Rows => Norm::load(kind, loader, &name, heads * head_dim).map(Some),
            QkNorm::EachHead => {
                Norm::load_each_head(kind, loader, &name, [heads, head_dim]).map(Some)
            }
        }
    };
    let query = norm("attn_q_norm", spec.heads)?;
    let key = norm("attn_k_norm", spec.kv_heads)?;
    Ok(query.zip(key).map(|(query, key)| [query, key]))
}

impl Pass<'_> {
    /// What the new tokens gather from their past in layer `index`.
    pub(super) fn attend(&mut self, index: usize, layer: &Attention) -> Result<(), ModelError> {
        self.project(layer);
        let Buffers {
            queries,
            keys,
            angles,
            ..
        } = &mut *self.buffers;
        let model = self.context.model;
        let layer = &model.spec.layers[index];
        let rows = [queries, keys];
        model
            .rotation
            .apply(self.context.compute, layer, angles, rows);
        self.append(index)?;
        self.gather(index)
    }

    /// Adds it to the residual stream.
    pub(super) fn add_attention(&mut self, layer: &Attention) {
        let Buffers {
            stream,
            attended,
            branch,
            quantized,
            ..
        } = &mut *self.buffers;
        let input = self.context.input(attended.view(), quantized);
        let output = (&layer.output, layer.norms.after.as_ref());
        self.context.add_branch(input, output, branch, stream);
    }

    /// Queries, keys and values of the new tokens.
    fn project(&mut self, layer: &Attention) {
        let Buffers {
            stream,
            normed,
            queries,
            keys,
            values,
            quantized,
            ..
        } = &mut *self.buffers;
        let context = &self.context;
        let input = context.normed_input(&layer.norms.before, stream, normed, quantized);
        let jobs = [
            Job::store(&layer.query, queries),
            Job::store(&layer.key, keys),
            Job::store(&layer.value, values),
        ];
        context.linear(input, jobs);
        if let Some([query, key]) = &layer.qk_norm {
            query.apply(context.compute, queries.view_mut());
            key.apply(context.compute, keys.view_mut());
        }
    }

    /// Stores the new tokens' keys and values.
    fn append(&mut self, layer: usize) -> Result<(), ModelError> {
        let Buffers { keys, values, .. } = &*self.buffers;
        for span in self.context.batch.spans() {
            let start = self.cache.len(span.sequence)?;
            let pages = self.cache.pages_mut(span.sequence)?;
            let (keys, values) = (keys.part(&span.rows), values.part(&span.rows));
            ops::append(self.context.compute, layer, pages, start, keys, values);
        }
        Ok(())
    }

    fn gather(&mut self, layer: usize) -> Result<(), ModelError> {
        let Buffers {
            queries,
            attended,
            attention: scratch,
            ..
        } = &mut *self.buffers;
        let spec = &self.context.model.spec;
        let attention = ops::Attention {
            layer,
            heads: spec.heads,
            kv_heads: spec.kv_heads,
            head_dim: spec.head_dim,
            scale: spec.attention_scale,
            softcap: spec.attention_softcap,
            window: spec.layers[layer].window,
        };
        let mut spans = scratch.take_spans();
        for span in self.context.batch.spans() {
            spans.push(AttentionSpan {
                pages: self.cache.pages(span.sequence)?,
                start: self.cache.len(span.sequence)?,
                rows: span.rows.clone(),
            });
        }
        let (queries, attended) = (queries.view(), attended.view_mut());
        ops::attend(
            self.context.compute,
            &attention,
            &spans,
            queries,
            attended,
            scratch,
        );
        scratch.keep_spans(spans);
        Ok(())
    }
}
