//! Rows of activations as bf16, in the order that tiles and pairs of products read them.

use crate::{Compute, DisjointMut};
use half::bf16;
use ndarray::ArrayView2;
use std::ops::Range;

/// Rows that lie together: those of a tile.
pub(crate) const TILE_ROWS: usize = 16;
/// Columns that lie together: those of a tile, 64 bytes.
pub(crate) const TILE_COLUMNS: usize = 32;

/// 32 columns of a row, zeros past the last one.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Bf16Line(pub(crate) [bf16; TILE_COLUMNS]);

const ZEROS: Bf16Line = Bf16Line([bf16::ZERO; TILE_COLUMNS]);

/// Input rows `[tokens, columns]`, rounded to bf16.
///
/// Sixteen rows of 32 columns, a tile of AMX, lie side by side: `[tokens / 16, columns / 32, 16, 32]`. So a tile is loaded from
/// one run of memory, and no two of its rows compete for a place in a cache. What is left of rows makes a lower tile: one row
/// lies as it would alone.
#[derive(Debug, Default)]
pub struct Bf16Rows {
    tokens: usize,
    columns: usize,
    /// With some lines past the end, for kernels that read a few rows more than there are.
    lines: Vec<Bf16Line>,
}

impl Bf16Rows {
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

    /// Replaces the content by `rows`, rounded to the nearest.
    ///
    /// # Panics
    /// If `rows` is not in standard layout.
    pub fn fill(&mut self, compute: &Compute, rows: ArrayView2<'_, f32>) {
        (self.tokens, self.columns) = rows.dim();
        let source = rows.to_slice().expect("rows in standard layout");
        let row_lines = self.chunks();
        self.lines
            .resize(self.tokens * row_lines + TILE_ROWS, ZEROS);
        if source.is_empty() {
            return;
        }
        let (tokens, columns) = (self.tokens, self.columns);
        let lines = DisjointMut::new(&mut self.lines);
        compute.pool.run(tokens.div_ceil(TILE_ROWS), |block| {
            let rows = block * TILE_ROWS..tokens.min((block + 1) * TILE_ROWS);
            // SAFETY: each block is of one task.
            let lines = unsafe { lines.part(rows.start * row_lines..rows.end * row_lines) };
            let source = &source[rows.start * columns..rows.end * columns];
            compute.kernels.round_to_bf16(source, columns, lines);
        });
    }

    /// Lines of a row.
    pub(crate) fn chunks(&self) -> usize {
        self.columns.div_ceil(TILE_COLUMNS)
    }

    /// Blocks of up to [`TILE_ROWS`] rows.
    pub(crate) fn blocks(&self) -> usize {
        self.tokens.div_ceil(TILE_ROWS)
    }

    /// The rows of block `block`, and where their lines begin: `[columns / 32, rows]`.
    ///
    /// As many lines as a tile has rows may be read past the end.
    ///
    /// # Panics
    /// If there is no such block.
    #[inline]
    pub(crate) fn block(&self, block: usize) -> (Range<usize>, *const Bf16Line) {
        let first = block * TILE_ROWS;
        let rows = first..self.tokens.min(first + TILE_ROWS);
        (rows, self.lines[first * self.chunks()..].as_ptr())
    }

    /// Line `chunk` of row `token`.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn line(&self, token: usize, chunk: usize) -> &[bf16; TILE_COLUMNS] {
        let first = token / TILE_ROWS * TILE_ROWS;
        let height = (self.tokens - first).min(TILE_ROWS);
        &self.lines[first * self.chunks() + chunk * height + token - first].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use crate::{Kernels, ThreadPool};
    use ndarray::Array2;

    /// Every value is where its line says, to the bit what `half` rounds it to, and zeros follow the last column.
    #[test]
    fn rows_are_rounded_and_lie_in_tiles_on_every_set() {
        let mut random = Random::new(1);
        let mut found = Bf16Rows::new();
        for kernels in Kernels::under_test().unwrap() {
            let pool = ThreadPool::new(2).unwrap();
            let compute = Compute::of(kernels, pool);
            for (tokens, columns) in [(1, 1), (17, 70), (40, 576), (3, 32), (16, 31), (0, 5)] {
                let rows = Array2::from_shape_fn((tokens, columns), |_| random.value());
                found.fill(&compute, rows.view());
                assert_eq!((found.tokens(), found.columns()), (tokens, columns));
                for ((token, column), value) in rows.indexed_iter() {
                    let line = found.line(token, column / 32);
                    assert_eq!(line[column % 32], bf16::from_f32(*value));
                    let end = (columns - column / 32 * 32).min(32);
                    assert!(line[end..].iter().all(|zero| *zero == bf16::ZERO));
                }
            }
        }
    }
}
