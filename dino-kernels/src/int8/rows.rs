//! Rows of activations as 8-bit integers with one scale each.

use super::Int8Input;
use crate::table::Int8Factor;
use crate::{Compute, DisjointMut};
use ndarray::ArrayView2;
use std::ops::Range;
use std::sync::Arc;

/// Rows that one task rounds.
const TOKENS_A_TASK: usize = 16;

/// Input rows `[tokens, columns]` of int8 layers: a value is `scale · (code - zero)`, with one of each a row.
#[derive(Debug, Default)]
pub struct Int8Rows {
    tokens: usize,
    columns: usize,
    /// `[tokens, columns]`, 1…255.
    codes: Vec<u8>,
    /// `[tokens]`.
    factors: Vec<Int8Factor>,
    /// How they were rounded.
    input: Option<Arc<Int8Input>>,
}

impl Int8Rows {
    /// An empty buffer, which grows to what is first put in.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many rows it holds.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Values in a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How its rows were rounded; `None` before there were any.
    pub fn input(&self) -> Option<&Arc<Int8Input>> {
        self.input.as_ref()
    }

    /// Replaces the content by `rows`, rounded as `input` says.
    ///
    /// # Panics
    /// If `rows` is not in standard layout, or `input` divides another number of channels.
    pub fn fill(&mut self, compute: &Compute, rows: ArrayView2<'_, f32>, input: &Arc<Int8Input>) {
        let (tokens, columns) = rows.dim();
        let source = rows.to_slice().expect("rows in standard layout");
        self.resize(tokens, columns);
        self.input = Some(Arc::clone(input));
        if source.is_empty() {
            return;
        }
        let codes = DisjointMut::new(&mut self.codes);
        let factors = DisjointMut::new(&mut self.factors);
        compute.pool.run(tokens.div_ceil(TOKENS_A_TASK), |task| {
            let first = task * TOKENS_A_TASK;
            let tokens = first..(first + TOKENS_A_TASK).min(tokens);
            for token in tokens {
                let range = token * columns..(token + 1) * columns;
                // SAFETY: each token is of one task.
                let (codes, factor) =
                    unsafe { (codes.part(range.clone()), factors.part(token..token + 1)) };
                factor[0] = compute.kernels.int8_row(&source[range], input, codes);
            }
        });
    }

    /// Replaces the content by some rows of `from`.
    ///
    /// # Panics
    /// If there are no such rows.
    pub fn copy_rows(&mut self, from: &Self, rows: Range<usize>) {
        self.resize(rows.len(), from.columns);
        self.input.clone_from(&from.input);
        let codes = rows.start * from.columns..rows.end * from.columns;
        self.codes.copy_from_slice(&from.codes[codes]);
        self.factors.copy_from_slice(&from.factors[rows]);
    }

    fn resize(&mut self, tokens: usize, columns: usize) {
        (self.tokens, self.columns) = (tokens, columns);
        self.codes.resize(tokens * columns, 0);
        self.factors.resize(tokens, Int8Factor::default());
    }

    /// The codes of row `token`.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    pub(crate) fn codes(&self, token: usize) -> &[u8] {
        &self.codes[token * self.columns..][..self.columns]
    }

    /// The codes of `count` rows from `token` on.
    ///
    /// # Panics
    /// If there are no such rows.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn rows(&self, token: usize, count: usize) -> &[u8] {
        &self.codes[token * self.columns..][..count * self.columns]
    }

    /// What the codes of row `token` mean.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    pub(crate) fn factor(&self, token: usize) -> Int8Factor {
        self.factors[token]
    }
}
