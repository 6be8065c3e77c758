//! The room where many workers write one matrix.

use crate::DisjointMut;
use ndarray::ArrayViewMut2;

/// An output matrix `[tokens, columns]`, written by several workers at once, each its own columns.
pub(crate) struct Output<'a> {
    values: DisjointMut<'a, f32>,
    tokens: usize,
    columns: usize,
    bias: Option<&'a [f32]>,
    add: bool,
}

impl<'a> Output<'a> {
    /// Results are stored in `matrix`, or added to it, with `bias` (`[columns]`) added first.
    ///
    /// # Panics
    /// If `matrix` is not in standard layout or `bias` is of another length.
    pub(crate) fn new(matrix: ArrayViewMut2<'a, f32>, bias: Option<&'a [f32]>, add: bool) -> Self {
        let (tokens, columns) = matrix.dim();
        assert!(
            bias.is_none_or(|bias| bias.len() == columns),
            "one bias a column"
        );
        let slice = matrix.into_slice().expect("an output in standard layout");
        Self {
            values: DisjointMut::new(slice),
            tokens,
            columns,
            bias,
            add,
        }
    }

    /// Values in a row.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// How many rows there are.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Puts `values` to row `token` from `column` on; values past the last column are dropped.
    ///
    /// # Panics
    /// If `token` or `column` is outside.
    ///
    /// # Safety
    /// No two threads may put to the same row and column without synchronisation between them.
    #[inline]
    pub(crate) unsafe fn put(&self, token: usize, column: usize, values: &[f32]) {
        assert!(
            token < self.tokens && column < self.columns,
            "element outside of the output"
        );
        let count = values.len().min(self.columns - column);
        if count == values.len() {
            // Said apart, because the length of a whole register is a constant where this is inlined.
            // SAFETY: by the contract.
            return unsafe { self.put_all(token, column, values) };
        }
        // SAFETY: by the contract.
        unsafe { self.put_all(token, column, &values[..count]) };
    }

    /// # Safety
    /// As [`Self::put`].
    #[inline(always)]
    unsafe fn put_all(&self, token: usize, column: usize, values: &[f32]) {
        let start = token * self.columns + column;
        // SAFETY: the caller keeps other threads away from these elements.
        let to = unsafe { self.values.part(start..start + values.len()) };
        match (self.bias, self.add) {
            (None, false) => to.copy_from_slice(values),
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
