//! How the values of a tensor change on the way from a folder to the model.

use crate::ModelError;
use crate::format::{Metadata, Step, Value};
use std::fmt;

/// The order of a tensor's rows: given the model's metadata and how many rows there are, which of them becomes the
/// first, the second and so on. May leave some out. Of a vector the elements are meant.
pub type RowOrder = fn(&Metadata, usize) -> Result<Vec<usize>, ModelError>;

/// A change of a tensor.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Change {
    /// Another order of the rows of each matrix.
    Rows(RowOrder),
    /// Another order of the columns of each matrix.
    Columns(RowOrder),
    /// Rows become columns, as for the `Conv1D` of `transformers`, which stores `[in_features, out_features]`. Those
    /// that are stored in blocks of a row stay.
    Transpose,
    /// Each value becomes another one; the tensor is F32 then.
    Map(fn(f32) -> f32),
    /// The same values in another shape: given the metadata and the shape, rows first.
    Reshape(fn(&Metadata, &[usize]) -> Vec<usize>),
}

impl Change {
    /// This change of a tensor that has `shape` before it.
    pub(super) fn step(self, metadata: &Metadata, shape: &[usize]) -> Result<Step, ModelError> {
        Ok(match self {
            Self::Rows(order) => {
                let rows = shape.get(crate::format::row_axis(shape));
                Step::Rows(order(metadata, rows.copied().unwrap_or(0))?.into())
            }
            Self::Columns(order) => {
                let columns = shape.last().copied().unwrap_or(0);
                Step::Columns(order(metadata, columns)?.into())
            }
            Self::Transpose => Step::Transpose,
            Self::Map(change) => Step::Map(change),
            Self::Reshape(reshape) => Step::Reshape(reshape(metadata, shape)),
        })
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rows(_) => "Rows",
            Self::Columns(_) => "Columns",
            Self::Transpose => "Transpose",
            Self::Map(_) => "Map",
            Self::Reshape(_) => "Reshape",
        })
    }
}

/// Rows of queries as GGUF's llama has them: `transformers` rotates the halves of a head, llama neighbours.
///
/// # Errors
/// If the metadata has no number of heads.
pub fn interleave_queries(metadata: &Metadata, rows: usize) -> Result<Vec<usize>, ModelError> {
    let heads = metadata.scoped()?.get("attention.head_count")?;
    Ok(interleave(heads, rows))
}

/// Rows of keys as GGUF's llama has them; see [`interleave_queries`].
///
/// # Errors
/// If the metadata has no number of heads.
pub fn interleave_keys(metadata: &Metadata, rows: usize) -> Result<Vec<usize>, ModelError> {
    const KEY: &str = "attention.head_count_kv";
    let scoped = metadata.scoped()?;
    let heads = match scoped.value(KEY) {
        // One for each layer, of which those without attention have none.
        Some(Value::Array(_)) => scoped
            .get::<Vec<usize>>(KEY)?
            .into_iter()
            .max()
            .unwrap_or(0),
        Some(_) => scoped.get(KEY)?,
        None => scoped.get("attention.head_count")?,
    };
    Ok(interleave(heads, rows))
}

/// Where the rows do not fit the heads they stay: the loader says then what is wrong with the shape.
fn interleave(heads: usize, rows: usize) -> Vec<usize> {
    let size = rows / heads.max(1);
    if size == 0 || !size.is_multiple_of(2) || size * heads != rows {
        return (0..rows).collect();
    }
    let row = |row: usize| {
        let (head, inside) = (row / size, row % size);
        head * size + inside / 2 + (inside % 2) * (size / 2)
    };
    (0..rows).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_become_neighbours() {
        assert_eq!(interleave(2, 8), [0, 2, 1, 3, 4, 6, 5, 7]);
        assert_eq!(interleave(3, 8), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(interleave(0, 0).is_empty());
    }
}
