//! Rows of activations as 8-bit integers.

use crate::{Compute, DisjointMut};
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Range;

/// Values that one task quantizes: a microsecond of work.
const PART: usize = 4096;

/// Input rows `[tokens, columns]`, quantized dynamically, 16 values to a scale.
///
/// Value `k` of a row is about `scale * code`. Scales for 16 values rather than for the 32 of a weight's block cost a
/// few instructions and take away two fifths of the divergence that 8 bits bring (`docs/numerics.md`).
#[derive(Debug, Default)]
pub struct QuantizedRows {
    tokens: usize,
    columns: usize,
    /// `[tokens, columns / 32]`.
    blocks: Vec<InputBlock>,
}

/// 32 values of a row, with all that a kernel wants to know of them, on one line of the cache.
///
/// Kernels read some thousand of them a token. Side by side they need one address a row, where an array for each field
/// needs five: eight rows at once then have their addresses in registers.
///
/// Sums come along because formats with a minimum need them: `min * Σ x` is the minimum's whole share of a dot product.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct InputBlock {
    /// In -127…127.
    pub(crate) codes: [i8; 32],
    /// Of each half.
    pub(crate) scales: [f32; 2],
    /// The sums of the quantized values of each half.
    pub(crate) half_sums: [f32; 2],
    /// -128 times the sum of each half's codes; sums of products with weights raised by 128 start there.
    pub(crate) starts: [i32; 2],
    /// The sum of both halves.
    pub(crate) sum: f32,
}

const _: () = assert!(size_of::<InputBlock>() == 64);

impl InputBlock {
    /// Sets what follows from the codes of half `half`: `code_sum` is their sum, `scale` their scale.
    #[inline(always)]
    pub(crate) fn set_half(&mut self, half: usize, scale: f32, code_sum: i32) {
        self.scales[half] = scale;
        self.half_sums[half] = scale * code_sum as f32;
        self.starts[half] = -128 * code_sum;
        self.sum = self.half_sums[0] + self.half_sums[1];
    }
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
        let source = rows.to_slice().expect("rows in standard layout");
        self.resize(rows.dim());
        let each = |part: usize, blocks: &mut [InputBlock]| {
            let source = &source[part * PART..][..32 * blocks.len()];
            compute.kernels.quantize_row(source, blocks);
        };
        compute
            .pool
            .for_each_part(&mut self.blocks, PART / 32, each);
    }

    /// Lets `work` make `rows`, some values at a time, and replaces the content by them, while they are in the nearest
    /// cache.
    ///
    /// `work(first, values)` is given values from number `first` on, a multiple of `unit`, as many as some units, which are
    /// multiples of 32.
    ///
    /// # Panics
    /// If units or rows are no whole blocks, or `rows` is not in standard layout.
    pub(crate) fn fill_with(
        &mut self,
        compute: &Compute,
        rows: ArrayViewMut2<'_, f32>,
        unit: usize,
        work: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        assert!(unit > 0 && unit.is_multiple_of(32), "units of whole blocks");
        self.resize(rows.dim());
        let rows = rows.into_slice().expect("rows in standard layout");
        let (end, part) = (rows.len(), (PART / unit).max(1) * unit);
        let (rows, blocks) = (DisjointMut::new(rows), DisjointMut::new(&mut self.blocks));
        compute.pool.run(end.div_ceil(part), |index| {
            let (first, end) = (index * part, end.min((index + 1) * part));
            // SAFETY: each index is run once, and the ranges of two indices do not overlap.
            let (values, blocks) =
                unsafe { (rows.part(first..end), blocks.part(first / 32..end / 32)) };
            work(first, values);
            compute.kernels.quantize_row(values, blocks);
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
        let halves = rows.chunks_exact(16).zip(rest.chunks_exact_mut(16));
        let blocks = self.blocks.iter().flat_map(|block| {
            let (codes, _) = block.codes.as_chunks::<16>();
            codes.iter().zip(block.scales)
        });
        for ((codes, scale), (rows, rest)) in blocks.zip(halves) {
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
        let blocks = from.columns / 32;
        self.resize((rows.len(), from.columns));
        self.blocks
            .copy_from_slice(&from.blocks[rows.start * blocks..rows.end * blocks]);
    }

    fn resize(&mut self, (tokens, columns): (usize, usize)) {
        assert!(
            columns.is_multiple_of(32),
            "{columns} columns are no whole blocks"
        );
        (self.tokens, self.columns) = (tokens, columns);
        self.blocks
            .resize(tokens * columns / 32, InputBlock::default());
    }

    /// Row `token`, `[columns / 32]`.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline(always)]
    pub(crate) fn row(&self, token: usize) -> &[InputBlock] {
        let blocks = self.columns / 32;
        &self.blocks[token * blocks..][..blocks]
    }

    /// Where rows `first…` begin; rows that do not exist are the last one.
    ///
    /// Kernels take rows in tiles of a few sizes, and drop what they have computed too much.
    #[inline(always)]
    pub(crate) fn tile<const T: usize>(&self, first: usize) -> [*const InputBlock; T] {
        let mut rows = [self.row(first).as_ptr(); T];
        for (t, row) in rows.iter_mut().enumerate() {
            *row = self.row((first + t).min(self.tokens - 1)).as_ptr();
        }
        rows
    }
}
