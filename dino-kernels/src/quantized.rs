//! Rows of activations as 8-bit integers.

use crate::Compute;
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Range;
use std::sync::Mutex;

/// Rows that one task quantizes; fewer than two tasks' worth are quantized where they are.
const TOKENS_A_TASK: usize = 16;

/// Input rows `[tokens, columns]`, quantized dynamically, 16 values to a scale.
///
/// Value `k` of a row is about `scales[k / 16] * codes[k]`. Scales for 16 values rather than for the 32 of a
/// weight's block cost a few instructions and take away two fifths of the divergence that 8 bits bring
/// (`docs/numerics.md`). Sums come along because formats with a minimum
/// need them: `min * Σ x` is the minimum's whole share of a dot product.
#[derive(Debug, Default)]
pub struct QuantizedRows {
    tokens: usize,
    columns: usize,
    codes: Vec<i8>,
    scales: Vec<f32>,
    sums: Vec<f32>,
    half_sums: Vec<f32>,
    starts: Vec<i32>,
}

/// Where the parts of one row of [`QuantizedRows`] begin: kernels fetch thousands of rows a token, and checking
/// four slices for each costs a tenth of their time.
#[derive(Clone, Copy)]
pub(crate) struct QuantizedRow {
    /// `[columns]`, in -127…127.
    pub(crate) codes: *const i8,
    /// `[columns / 16]`.
    pub(crate) scales: *const f32,
    /// `[columns / 32]`: the sum of 32 quantized values.
    pub(crate) sums: *const f32,
    /// `[columns / 16]`: the sum of 16 quantized values.
    pub(crate) half_sums: *const f32,
    /// `[columns / 16]`: -128 times the sum of 16 codes; sums of products with weights raised by 128 start there.
    pub(crate) starts: *const i32,
}

/// One row to be filled.
pub(crate) struct QuantizedRowMut<'a> {
    pub(crate) codes: &'a mut [i8],
    pub(crate) scales: &'a mut [f32],
    pub(crate) sums: &'a mut [f32],
    pub(crate) half_sums: &'a mut [f32],
    pub(crate) starts: &'a mut [i32],
}

impl QuantizedRows {
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

    /// Replaces the content by `rows`, whose width must be a multiple of 32.
    ///
    /// # Panics
    /// If it is not, or `rows` is not in standard layout.
    pub fn fill(&mut self, compute: &Compute, rows: ArrayView2<'_, f32>) {
        let (tokens, columns) = rows.dim();
        assert!(
            columns.is_multiple_of(32),
            "{columns} columns are no whole blocks"
        );
        let source = rows.to_slice().expect("rows in standard layout");
        self.resize(tokens, columns);
        if source.is_empty() {
            return;
        }
        let each = |source: &[f32], rows: RowsMut<'_>| {
            for (source, row) in source.chunks_exact(columns).zip(rows.split(columns)) {
                compute.kernels.quantize_row(source, row);
            }
        };
        if tokens < 2 * TOKENS_A_TASK {
            return each(source, self.rows_mut());
        }
        let (blocks, halves) = (columns / 32, columns / 16);
        let tasks: Vec<_> = (self.codes.chunks_mut(TOKENS_A_TASK * columns))
            .zip(self.scales.chunks_mut(TOKENS_A_TASK * halves))
            .zip(self.sums.chunks_mut(TOKENS_A_TASK * blocks))
            .zip(self.half_sums.chunks_mut(TOKENS_A_TASK * halves))
            .zip(self.starts.chunks_mut(TOKENS_A_TASK * halves))
            .map(|((((codes, scales), sums), half_sums), starts)| {
                Mutex::new(Some(RowsMut {
                    codes,
                    scales,
                    sums,
                    half_sums,
                    starts,
                }))
            })
            .collect();
        compute.pool.run(tasks.len(), |task| {
            let rows = tasks[task].lock().ok().and_then(|mut rows| rows.take());
            let source = source.chunks(TOKENS_A_TASK * columns).nth(task);
            if let (Some(rows), Some(source)) = (rows, source) {
                each(source, rows);
            }
        });
    }

    /// What rounding took from `rows`, with which this was filled: `rows - codes * scales`, into `rest`.
    ///
    /// # Panics
    /// If the shapes of `rows` and `rest` are not that of this, or they are not in standard layout.
    pub fn rest(&self, rows: ArrayView2<'_, f32>, rest: ArrayViewMut2<'_, f32>) {
        let shape = (self.tokens, self.columns);
        assert!(rows.dim() == shape && rest.dim() == shape, "the same rows");
        let rows = rows.to_slice().expect("rows in standard layout");
        let rest = rest.into_slice().expect("rows in standard layout");
        let codes = self.codes.chunks_exact(16).zip(&self.scales);
        let parts = rows.chunks_exact(16).zip(rest.chunks_exact_mut(16));
        for ((codes, scale), (rows, rest)) in codes.zip(parts) {
            for ((to, x), code) in rest.iter_mut().zip(rows).zip(codes) {
                *to = x - f32::from(*code) * scale;
            }
        }
    }

    /// Replaces the content by some rows of `from`.
    ///
    /// # Panics
    /// If there are no such rows.
    pub fn copy_rows(&mut self, from: &Self, rows: Range<usize>) {
        fn part<'a, T>(values: &'a [T], rows: &Range<usize>, width: usize) -> &'a [T] {
            &values[rows.start * width..rows.end * width]
        }
        let (columns, blocks, halves) = (from.columns, from.columns / 32, from.columns / 16);
        self.resize(rows.len(), columns);
        self.codes
            .copy_from_slice(part(&from.codes, &rows, columns));
        self.scales
            .copy_from_slice(part(&from.scales, &rows, halves));
        self.sums.copy_from_slice(part(&from.sums, &rows, blocks));
        self.half_sums
            .copy_from_slice(part(&from.half_sums, &rows, halves));
        self.starts
            .copy_from_slice(part(&from.starts, &rows, halves));
    }

    fn resize(&mut self, tokens: usize, columns: usize) {
        (self.tokens, self.columns) = (tokens, columns);
        self.codes.resize(tokens * columns, 0);
        self.scales.resize(tokens * columns / 16, 0.0);
        self.sums.resize(tokens * columns / 32, 0.0);
        self.half_sums.resize(tokens * columns / 16, 0.0);
        self.starts.resize(tokens * columns / 16, 0);
    }

    /// Row `token`.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline(always)]
    pub(crate) fn row(&self, token: usize) -> QuantizedRow {
        assert!(token < self.tokens, "row {token} of {}", self.tokens);
        let (blocks, halves) = (self.columns / 32, self.columns / 16);
        QuantizedRow {
            codes: self.codes.as_ptr().wrapping_add(token * self.columns),
            scales: self.scales.as_ptr().wrapping_add(token * halves),
            sums: self.sums.as_ptr().wrapping_add(token * blocks),
            half_sums: self.half_sums.as_ptr().wrapping_add(token * halves),
            starts: self.starts.as_ptr().wrapping_add(token * halves),
        }
    }

    /// Row `token` as slices: codes, scales, sums, half sums.
    ///
    /// # Panics
    /// If there is no such row.
    pub(crate) fn row_slices(&self, token: usize) -> (&[i8], &[f32], &[f32], &[f32]) {
        let (blocks, halves) = (self.columns / 32, self.columns / 16);
        (
            &self.codes[token * self.columns..][..self.columns],
            &self.scales[token * halves..][..halves],
            &self.sums[token * blocks..][..blocks],
            &self.half_sums[token * halves..][..halves],
        )
    }

    fn rows_mut(&mut self) -> RowsMut<'_> {
        RowsMut {
            codes: &mut self.codes,
            scales: &mut self.scales,
            sums: &mut self.sums,
            half_sums: &mut self.half_sums,
            starts: &mut self.starts,
        }
    }
}

/// A run of rows to be filled.
struct RowsMut<'a> {
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [f32],
    half_sums: &'a mut [f32],
    starts: &'a mut [i32],
}

impl<'a> RowsMut<'a> {
    fn split(self, columns: usize) -> impl Iterator<Item = QuantizedRowMut<'a>> {
        (self.codes.chunks_exact_mut(columns))
            .zip(self.scales.chunks_exact_mut(columns / 16))
            .zip(self.sums.chunks_exact_mut(columns / 32))
            .zip(self.half_sums.chunks_exact_mut(columns / 16))
            .zip(self.starts.chunks_exact_mut(columns / 16))
            .map(
                |((((codes, scales), sums), half_sums), starts)| QuantizedRowMut {
                    codes,
                    scales,
                    sums,
                    half_sums,
                    starts,
                },
            )
    }
}
