//! The gated delta rule: a memory from keys to values that decays, and that corrects what it holds for a key.
//!
//! Yang et al., *Gated Delta Networks*, arXiv:2412.06464.

use super::StateSpan;
use super::spans::for_parts;
use crate::output::Output;
use crate::{Compute, Memory};
use ndarray::{ArrayView2, ArrayViewMut2};

/// The sizes of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaRule {
    /// Heads of queries and keys.
    pub key_heads: usize,
    /// Heads of values; a multiple of `key_heads`.
    pub value_heads: usize,
    /// Values in a query or key.
    pub key_dim: usize,
    /// Values in a value.
    pub value_dim: usize,
    /// Whether the value heads of one key head lie side by side; otherwise those of all key heads take turns.
    pub grouped: bool,
}

/// What the tokens of a pass bring.
#[derive(Clone, Copy, Debug)]
pub struct DeltaInput<'a> {
    /// Queries, keys and values side by side: `[tokens, 2 · key_heads · key_dim + value_heads · value_dim]`. Queries
    /// and keys are made as long as 1 first, and queries then divided by `sqrt(key_dim)`.
    pub qkv: ArrayView2<'a, f32>,
    /// What the memory is multiplied by, `[tokens, value_heads]`.
    pub decay: ArrayView2<'a, f32>,
    /// How much of the difference is corrected, `[tokens, value_heads]`.
    pub rate: ArrayView2<'a, f32>,
}

/// Added to squared lengths.
const EPSILON: f32 = 1e-6;

impl DeltaRule {
    /// Values of a state: `[value_heads, key_dim, value_dim]`.
    pub fn state(&self) -> usize {
        self.value_heads * self.key_dim * self.value_dim
    }

    /// The key head of a value head.
    fn key_head(&self, value_head: usize) -> usize {
        if self.grouped {
            value_head / (self.value_heads / self.key_heads)
        } else {
            value_head % self.key_heads
        }
    }
}

/// For each token: `S = decay · S`, `S += key ⊗ rate · (value − Sᵀ key)`, `output = Sᵀ query`.
///
/// `states` are `[…, value_heads · key_dim · value_dim]`, `output` is `[tokens, value_heads · value_dim]`.
///
/// # Panics
/// If shapes do not fit or a matrix is not in standard layout.
pub fn gated_delta(
    compute: &Compute,
    rule: &DeltaRule,
    spans: &[StateSpan],
    states: ArrayViewMut2<'_, f32>,
    input: DeltaInput<'_>,
    output: ArrayViewMut2<'_, f32>,
) {
    let DeltaRule {
        key_heads,
        value_heads,
        key_dim,
        value_dim,
        ..
    } = *rule;
    let (tokens, keys, values) = (
        input.qkv.nrows(),
        key_heads * key_dim,
        value_heads * value_dim,
    );
    assert!(
        key_heads > 0 && value_heads.is_multiple_of(key_heads),
        "value heads for each key head"
    );
    assert_eq!(input.qkv.ncols(), 2 * keys + values, "columns of qkv");
    assert_eq!(input.decay.dim(), (tokens, value_heads), "decays");
    assert_eq!(input.rate.dim(), (tokens, value_heads), "rates");
    assert_eq!(output.dim(), (tokens, values), "the output");
    assert_eq!(states.ncols(), rule.state(), "a state");
    let qkv = input.qkv.to_slice().expect("qkv in standard layout");
    let output = Output::new(output, None, false);
    for_parts(compute, spans, states, value_heads, |rows, head, state| {
        let mut work = Work::new(rule);
        for row in rows.clone() {
            let qkv = &qkv[row * (2 * keys + values)..][..2 * keys + values];
            let at = rule.key_head(head) * key_dim;
            work.unit(compute, &qkv[at..][..key_dim], &qkv[keys + at..][..key_dim]);
            let value = &qkv[2 * keys + head * value_dim..][..value_dim];
            let factors = [input.decay[[row, head]], input.rate[[row, head]]];
            work.step(compute, state, value, factors);
            // SAFETY: each task has rows and a head of its own.
            unsafe { output.put(row, head * value_dim, &work.out) };
        }
    });
}

/// What a task works in.
struct Work {
    query: Vec<f32>,
    key: Vec<f32>,
    correction: Vec<f32>,
    out: Vec<f32>,
}

impl Work {
    fn new(rule: &DeltaRule) -> Self {
        Self {
            query: vec![0.0; rule.key_dim],
            key: vec![0.0; rule.key_dim],
            correction: vec![0.0; rule.value_dim],
            out: vec![0.0; rule.value_dim],
        }
    }

    /// Takes a query and a key, made as long as they are to be.
    fn unit(&mut self, compute: &Compute, query: &[f32], key: &[f32]) {
        let vector = &compute.kernels.vector;
        self.query.copy_from_slice(query);
        self.key.copy_from_slice(key);
        let length = |x: &[f32]| (vector.dot(x, x) + EPSILON).sqrt();
        let scale = (query.len() as f32).sqrt();
        vector.scale(&mut self.query, 1.0 / (length(query) * scale));
        vector.scale(&mut self.key, 1.0 / length(key));
    }

    fn step(
        &mut self,
        compute: &Compute,
        state: &mut [f32],
        value: &[f32],
        [decay, rate]: [f32; 2],
    ) {
        let kernels = &compute.kernels.state;
        kernels.recall(state, &self.key, &mut self.correction);
        for (recalled, value) in self.correction.iter_mut().zip(value) {
            *recalled = rate * (value - decay * *recalled);
        }
        let memory = Memory {
            decay,
            key: &self.key,
            value: &self.correction,
            query: &self.query,
        };
        kernels.remember(state, memory, &mut self.out);
    }
}
