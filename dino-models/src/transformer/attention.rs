//! The attention part of a layer.

use super::buffers::Buffers;
use super::forward::Pass;
use super::linear::Job;
use super::norm::{Before, Norm};
use crate::ModelError;
use crate::arch::{Linear, Loader, Matrices, QkNorm, QueryGrowth, Spec};
use dino_kernels::ops::{self, AttentionSpan};

/// The weights of one layer's attention.
#[derive(Debug)]
pub(super) struct Attention {
    /// Its layer in the cache.
    cached: usize,
    query: Linear,
    /// Of what is gathered, where there is one.
    gate: Option<Linear>,
    key: Linear,
    value: Linear,
    /// The norms of queries and keys.
    qk_norm: Option<[Norm; 2]>,
    /// `[heads]`; see [`ops::Attention::sinks`].
    sinks: Option<Vec<f32>>,
}

impl Attention {
    pub(super) fn load(
        spec: &Spec,
        loader: &mut Loader<'_>,
        layer: usize,
        cached: usize,
    ) -> Result<Self, ModelError> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let (hidden, biases) = (spec.hidden, spec.biases);
        let (queries, keys) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
        let mut gate = None;
        let [query, key, value] = match spec.matrices {
            Matrices::Separate | Matrices::FusedGate => [
                if spec.attention_gate {
                    let [query, of_query] = queries_and_gates(spec, loader, &name("attn_q"))?;
                    gate = Some(of_query);
                    query
                } else {
                    loader.linear(&name("attn_q"), [queries, hidden], biases.inputs)?
                },
                loader.linear(&name("attn_k"), [keys, hidden], biases.inputs)?,
                loader.linear(&name("attn_v"), [keys, hidden], biases.inputs)?,
            ],
            Matrices::Fused => {
                let sizes = [queries, keys, keys];
                loader.fused(&name("attn_qkv"), sizes, hidden, biases.inputs)?
            }
        };
        Ok(Self {
            cached,
            query,
            gate,
            key,
            value,
            qk_norm: load_qk_norm(spec, loader, layer)?,
            sinks: match spec.attention_sinks {
                true => Some(loader.vector(&name("attn_sinks.weight"), spec.heads)?),
                false => None,
            },
        })
    }
}

/// Files store the rows of each head's query and then those of its gate.
fn queries_and_gates(
    spec: &Spec,
    loader: &mut Loader<'_>,
    name: &str,
) -> Result<[Linear; 2], ModelError> {
    let (heads, head_dim) = (spec.heads, spec.head_dim);
    let row =
        |index: usize, kind: usize| (index / head_dim * 2 + kind) * head_dim + index % head_dim;
    let shape = [2 * heads * head_dim, spec.hidden];
    let [query, gate] = [0, 1].map(|kind| {
        let rows = || {
            let indices = 0..heads * head_dim;
            indices.map(|index| row(index, kind)).collect()
        };
        loader.picked(name, shape, rows)
    });
    Ok([query?, gate?])
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
    pub(super) fn attend(
        &mut self,
        index: usize,
        norm: &Before,
        layer: &Attention,
    ) -> Result<(), ModelError> {
        self.project(norm, layer);
        let Buffers {
            queries,
            keys,
            angles,
            ..
        } = &mut *self.buffers;
        let model = self.context.model;
        let layer_spec = &model.spec.layers[index];
        let rows = [queries, keys];
        model
            .rotation
            .apply(self.context.compute, layer_spec, angles, rows);
        if let Some(growth) = model.spec.query_growth {
            self.grow_queries(growth)?;
        }
        self.append(layer.cached)?;
        self.gather(layer, layer_spec.window)?;
        if layer.gate.is_some() {
            let Buffers { mixed, gate, .. } = &mut *self.buffers;
            ops::gate_by_sigmoid(self.context.compute, mixed.view_mut(), gate.view_mut());
        }
        Ok(())
    }

    /// Queries, keys and values of the new tokens.
    fn project(&mut self, norm: &Before, layer: &Attention) {
        let Buffers {
            stream,
            normed,
            queries,
            keys,
            values,
            gate,
            quantized,
            ..
        } = &mut *self.buffers;
        let context = &self.context;
        let input = context.normed_input(norm, stream, normed, quantized, &layer.query);
        if let Some(layer) = &layer.gate {
            gate.resize(queries.view().nrows(), layer.weight.rows());
            context.linear(input, [Job::store(layer, gate)]);
        }
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

    /// Multiplies the new tokens' queries by what their positions ask for.
    fn grow_queries(&mut self, growth: QueryGrowth) -> Result<(), ModelError> {
        let mut queries = self.buffers.queries.view_mut();
        for span in self.context.batch.spans() {
            let start = self.cache.len(span.sequence)?;
            for (position, row) in (start..).zip(span.rows.clone()) {
                let factor = growth.at(position);
                // The first positions, of which most texts have no others, stay as they are.
                if factor != 1.0 {
                    queries.row_mut(row).mapv_inplace(|x| x * factor);
                }
            }
        }
        Ok(())
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

    fn gather(&mut self, layer: &Attention, window: Option<usize>) -> Result<(), ModelError> {
        let Buffers {
            queries,
            mixed,
            attention: scratch,
            ..
        } = &mut *self.buffers;
        let spec = &self.context.model.spec;
        let attention = ops::Attention {
            layer: layer.cached,
            heads: spec.heads,
            kv_heads: spec.kv_heads,
            head_dim: spec.head_dim,
            scale: spec.attention_scale,
            softcap: spec.attention_softcap,
            window,
            sinks: layer.sinks.as_deref(),
        };
        let mut spans = scratch.take_spans();
        for span in self.context.batch.spans() {
            spans.push(AttentionSpan {
                pages: self.cache.pages(span.sequence)?,
                start: self.cache.len(span.sequence)?,
                rows: span.rows.clone(),
            });
        }
        mixed.resize(queries.view().nrows(), queries.view().ncols());
        let (queries, mixed) = (queries.view(), mixed.view_mut());
        ops::attend(
            self.context.compute,
            &attention,
            &spans,
            queries,
            mixed,
            scratch,
        );
        scratch.keep_spans(spans);
        Ok(())
    }
}
