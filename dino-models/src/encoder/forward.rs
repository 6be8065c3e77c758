//! The forward pass of BERT and its kin.

use super::bert::{Bert, Layer};
use super::{Encoder, EncoderConfig};
use crate::ModelError;
use crate::arch::Linear;
use crate::rounded::Rounded;
use crate::transformer::{Norm, Rows};
use dino_kernels::Compute;
use dino_kernels::ops::{
    self, BidirectionalAttention, EmbeddingTable, LinearInput, RopeAngles, RopePairing,
};
use ndarray::{Array2, ArrayView2};
use std::ops::Range;

impl Encoder for Bert {
    fn config(&self) -> &EncoderConfig {
        &self.config
    }

    fn encode(&self, compute: &Compute, texts: &[&[u32]]) -> Result<Array2<f32>, ModelError> {
        self.check(texts)?;
        let mut pass = Pass::new(self, compute, texts);
        pass.embed(&texts.concat())?;
        for layer in &self.layers {
            pass.attend(layer);
            pass.feed_forward(layer);
        }
        Ok(pass.stream.view().to_owned())
    }
}

impl Bert {
    fn check(&self, texts: &[&[u32]]) -> Result<(), ModelError> {
        let (vocabulary, limit) = (self.config.vocabulary, self.config.context_length);
        for text in texts {
            if let Some(&token) = text.iter().find(|&&token| token as usize >= vocabulary) {
                return Err(ModelError::TokenOutOfRange { token, vocabulary });
            }
            if text.len() > limit {
                let needed = text.len();
                return Err(ModelError::ContextOverflow { needed, limit });
            }
        }
        Ok(())
    }
}

/// One pass and all that it touches; all matrices are `[tokens, …]`.
struct Pass<'a> {
    model: &'a Bert,
    compute: &'a Compute,
    /// The rows of each text.
    texts: Vec<Range<usize>>,
    angles: RopeAngles,
    stream: Rows,
    queries: Rows,
    keys: Rows,
    values: Rows,
    attended: Rows,
    gate: Rows,
    up: Rows,
    quantized: Rounded,
}

impl<'a> Pass<'a> {
    fn new(model: &'a Bert, compute: &'a Compute, texts: &[&[u32]]) -> Self {
        let (mut rows, mut angles) = (Vec::with_capacity(texts.len()), RopeAngles::default());
        let mut end = 0;
        for text in texts {
            rows.push(end..end + text.len());
            end += text.len();
            if let Some(rope) = &model.rope {
                angles.extend(rope, 0..text.len());
            }
        }
        let sized = |columns: usize| {
            let mut rows = Rows::default();
            rows.resize(end, columns);
            rows
        };
        let (hidden, inner) = (model.spec.hidden, model.spec.feed_forward);
        Self {
            model,
            compute,
            texts: rows,
            angles,
            stream: sized(hidden),
            queries: sized(hidden),
            keys: sized(hidden),
            values: sized(hidden),
            attended: sized(hidden),
            gate: sized(inner),
            up: sized(inner),
            quantized: Rounded::default(),
        }
    }

    /// Token, position and kind, normalised.
    fn embed(&mut self, tokens: &[u32]) -> Result<(), ModelError> {
        let (compute, model) = (self.compute, self.model);
        let table = EmbeddingTable::Stored(&model.embedding);
        ops::embed(compute, table, tokens, self.stream.view_mut())?;
        if let Some(positions) = &model.positions {
            let rows: Vec<u32> = self
                .texts
                .iter()
                .flat_map(|text| 0..text.len() as u32)
                .collect();
            let table = EmbeddingTable::Stored(positions);
            ops::embed(compute, table, &rows, self.attended.view_mut())?;
            ops::add(compute, self.stream.view_mut(), self.attended.view());
        }
        if let Some(kind) = &model.kind {
            for mut row in self.stream.view_mut().rows_mut() {
                row += &ndarray::ArrayView1::from(kind);
            }
        }
        self.normalise(&model.norm);
        Ok(())
    }

    fn attend(&mut self, layer: &Layer) {
        let (compute, spec) = (self.compute, &self.model.spec);
        let [query, key, value] = &layer.inputs;
        let input = self
            .model
            .input(compute, self.stream.view(), &mut self.quantized, query);
        let layers = [
            ops::Linear::store(
                &query.weight,
                query.bias.as_deref(),
                self.queries.view_mut(),
            ),
            ops::Linear::store(&key.weight, key.bias.as_deref(), self.keys.view_mut()),
            ops::Linear::store(&value.weight, value.bias.as_deref(), self.values.view_mut()),
        ];
        ops::linear(compute, input, &layers);
        let head_dim = spec.hidden / spec.heads;
        if self.model.rope.is_some() {
            for rows in [&mut self.queries, &mut self.keys] {
                let (rows, pairing) = (rows.view_mut(), RopePairing::Halves);
                ops::rope(compute, rows, head_dim, pairing, &self.angles);
            }
        }
        let attention = BidirectionalAttention {
            heads: spec.heads,
            scale: (head_dim as f32).sqrt().recip(),
        };
        let inputs = [self.queries.view(), self.keys.view(), self.values.view()];
        let output = self.attended.view_mut();
        ops::attend_all(compute, &attention, &self.texts, inputs, output);
        let input = self.model.input(
            compute,
            self.attended.view(),
            &mut self.quantized,
            &layer.output,
        );
        let bias = layer.output.bias.as_deref();
        let add = ops::Linear::add(&layer.output.weight, bias, self.stream.view_mut());
        ops::linear(compute, input, &[add]);
        self.normalise(&layer.attention_norm);
    }

    fn feed_forward(&mut self, layer: &Layer) {
        let (compute, up) = (self.compute, &layer.up);
        let input = self
            .model
            .input(compute, self.stream.view(), &mut self.quantized, up);
        let activation = self.model.spec.activation.0;
        match &layer.gate {
            Some(gate) => {
                let layers = [
                    ops::Linear::store(&gate.weight, gate.bias.as_deref(), self.gate.view_mut()),
                    ops::Linear::store(&up.weight, up.bias.as_deref(), self.up.view_mut()),
                ];
                ops::linear(compute, input, &layers);
                ops::activate_gate(compute, self.gate.view_mut(), self.up.view(), activation);
            }
            None => {
                let store =
                    ops::Linear::store(&up.weight, up.bias.as_deref(), self.gate.view_mut());
                ops::linear(compute, input, &[store]);
                ops::activate(compute, self.gate.view_mut(), activation);
            }
        }
        let input = self
            .model
            .input(compute, self.gate.view(), &mut self.quantized, &layer.down);
        let (down, stream) = (&layer.down, self.stream.view_mut());
        let add = ops::Linear::add(&down.weight, down.bias.as_deref(), stream);
        ops::linear(compute, input, &[add]);
        self.normalise(&layer.norm);
    }

    /// Normalises the stream in place.
    fn normalise(&mut self, norm: &Norm) {
        norm.apply(self.compute, self.stream.view_mut());
    }
}

impl Bert {
    /// The input of linear layers: rounded once for all of them, as `layer`, one of them, wants it.
    fn input<'a>(
        &self,
        compute: &Compute,
        rows: ArrayView2<'a, f32>,
        quantized: &'a mut Rounded,
        layer: &Linear,
    ) -> LinearInput<'a> {
        quantized.input(compute, rows, layer, self.precise)
    }
}
