//! The room where many workers write one matrix.

use crate::DisjointMut;
use ndarray::ArrayViewMut2;

/// An output matrix `[rows, columns]`, written by several workers at once, each its own columns.
pub(crate) struct Output<'a> {
    values: DisjointMut<'a, f32>,
    rows: usize,
    columns: usize,
    bias: Option<&'a [f32]>,
    add: bool,
    folded: bool,
}

impl<'a> Output<'a> {
    /// Results are stored in `matrix`, or added to it, with `bias` (`[columns]`) added first.
    ///
    /// # Panics
    /// If `matrix` is not in standard layout or `bias` is of another length.
    pub(crate) fn new(matrix: ArrayViewMut2<'a, f32>, bias: Option<&'a [f32]>, add: bool) -> Self {
        let (rows, columns) = matrix.dim();
        assert!(
            bias.is_none_or(|bias| bias.len() == columns),
            "one bias a column"
        );
        let slice = matrix.into_slice().expect("an output in standard layout");
        Self {
            values: DisjointMut::new(slice),
            rows,
            columns,
            bias,
            add,
            folded: false,
        }
    }

    /// As [`Self::new`], for twice as many results: the second half is added to the first.
    pub(crate) fn folded(matrix: ArrayViewMut2<'a, f32>, bias: Option<&'a [f32]>) -> Self {
        Self {
            folded: true,
            ..Self::new(matrix, bias, false)
        }
    }

    /// Values in a row.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// How many rows of results there are.
    pub(crate) fn tokens(&self) -> usize {
        if self.folded {
            2 * self.rows
        } else {
            self.rows
        }
    }

    /// Puts `values`, results of row `token`, from `column` on; values past the last column are dropped. Where results are
    /// folded, those of a column are put in the order of tokens.
    ///
    /// # Panics
    /// If `token` or `column` is outside.
    ///
    /// # Safety
    /// No two threads may put to the same column without synchronisation between them.
    #[inline(always)]
    pub(crate) unsafe fn put(&self, token: usize, column: usize, values: &[f32]) {
        assert!(
            token < self.tokens() && column < self.columns,
            "element outside of the output"
        );
        // The usual case, inlined: as many values as a register has, a constant there.
        if self.bias.is_none() && !self.folded && values.len() <= self.columns - column {
            let start = token * self.columns + column;
            // SAFETY: the caller keeps other threads away from these elements.
            let to = unsafe { self.values.part(start..start + values.len()) };
            if self.add {
                to.iter_mut()
                    .zip(values)
                    .for_each(|(to, value)| *to += value);
            } else {
                to.copy_from_slice(values);
            }
            return;
        }
        // SAFETY: by the contract.
        unsafe { self.put_any(token, column, values) };
    }

    /// # Safety
    /// As [`Self::put`].
    #[inline(never)]
    unsafe fn put_any(&self, token: usize, column: usize, values: &[f32]) {
        let (row, add, bias) = match token.checked_sub(self.rows) {
            Some(row) => (row, true, self.bias),
            None if self.folded => (token, false, None),
            None => (token, self.add, self.bias),
        };
        let count = values.len().min(self.columns - column);
        let start = row * self.columns + column;
        // SAFETY: the caller keeps other threads away from these elements.
        let to = unsafe { self.values.part(start..start + count) };
        match (bias, add) {
            (None, false) => to.copy_from_slice(&values[..count]),
            (None, true) => to
                .iter_mut()
                .zip(values)
                .for_each(|(to, value)| *to += value),
            (Some(bias), add) => {
                for ((to, value), bias) in to.iter_mut().zip(values).zip(&bias[column..]) {
                    *to = if add { *to } else { 0.0 } + value + bias;
                }
            }
        }
    }
}
