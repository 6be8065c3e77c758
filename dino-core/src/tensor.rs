//! Named weights.

use crate::{CoreError, DType, Storage, blocks};
use ndarray::Array2;
use std::sync::Arc;

/// An immutable named weight: a matrix (or vector, or stack of matrices) in a stored format.
///
/// The shape is row-major with the contiguous dimension last, as in `transformers`: the weight of a
/// linear layer is `[out_features, in_features]`. (GGUF lists the same numbers in reverse.)
#[derive(Clone, Debug)]
pub struct Tensor {
    name: Arc<str>,
    dtype: DType,
    shape: Vec<usize>,
    storage: Storage,
}

impl Tensor {
    /// A weight of `shape` (rows first) stored as `dtype` in exactly the bytes of `storage`.
    ///
    /// # Errors
    /// If the shape overflows, a row is not a whole number of blocks, or the bytes are too few or many.
    pub fn new(
        name: impl Into<Arc<str>>,
        dtype: DType,
        shape: &[usize],
        storage: Storage,
    ) -> Result<Self, CoreError> {
        let name = name.into();
        let expected = Self::byte_size(&name, dtype, shape)?;
        if storage.len() != expected {
            return Err(CoreError::SizeMismatch {
                name: name.to_string(),
                dtype,
                shape: shape.to_vec(),
                expected,
                found: storage.len(),
            });
        }
        Ok(Self {
            name,
            dtype,
            shape: shape.to_vec(),
            storage,
        })
    }

    /// Bytes that a tensor of this type and shape takes.
    ///
    /// # Errors
    /// If the shape overflows or a row is not a whole number of blocks.
    pub fn byte_size(name: &str, dtype: DType, shape: &[usize]) -> Result<usize, CoreError> {
        let overflow = || CoreError::ShapeOverflow {
            name: name.into(),
            shape: shape.to_vec(),
        };
        let columns = shape.last().copied().unwrap_or(1);
        if !columns.is_multiple_of(dtype.block_len()) {
            let block = dtype.block_len();
            return Err(CoreError::RaggedRow {
                name: name.into(),
                columns,
                dtype,
                block,
            });
        }
        let row = dtype.row_bytes(columns).ok_or_else(overflow)?;
        let rows = shape
            .iter()
            .rev()
            .skip(1)
            .try_fold(1_usize, |n, &d| n.checked_mul(d));
        // The values must be countable too, not only the bytes.
        let rows = rows
            .filter(|n| n.checked_mul(columns).is_some())
            .ok_or_else(overflow)?;
        row.checked_mul(rows).ok_or_else(overflow)
    }

    /// The name in the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stored type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The dimensions, rows first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Values in a row: the last dimension, 1 for a scalar.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Rows: the product of all dimensions but the last.
    pub fn rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }

    /// Values in all.
    pub fn len(&self) -> usize {
        self.rows() * self.columns()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The stored bytes.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The stored bytes of row `row`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &[u8] {
        let rows = self.rows();
        assert!(
            row < rows,
            "row {row} asked of `{}`, which has {rows}",
            self.name
        );
        let bytes = self.storage.len() / rows;
        &self.storage.as_slice()[row * bytes..(row + 1) * bytes]
    }

    /// All values as f32, `[rows, columns]`.
    ///
    /// # Errors
    /// [`CoreError::ShapeOverflow`] if the f32 values do not fit in memory.
    pub fn to_array(&self) -> Result<Array2<f32>, CoreError> {
        let overflow = || CoreError::ShapeOverflow {
            name: self.name.to_string(),
            shape: self.shape.clone(),
        };
        let mut values = Vec::new();
        values
            .try_reserve_exact(self.len())
            .map_err(|_| overflow())?;
        values.resize(self.len(), 0.0);
        blocks::dequantize(self.dtype, self.storage.as_slice(), &mut values);
        Array2::from_shape_vec((self.rows(), self.columns()), values).map_err(|_| overflow())
    }

    /// The part of a stack of matrices with index `index`: `[experts, out, in]` gives `[out, in]`.
    ///
    /// # Errors
    /// [`CoreError::NoSuchMatrix`] if there is no such matrix; [`CoreError::RaggedRow`] for a vector of blocks,
    /// which cannot be cut into values.
    pub fn index(&self, index: usize) -> Result<Self, CoreError> {
        let (count, shape) = match self.shape.split_first() {
            Some((&count, shape)) => (count, shape),
            None => (0, &[][..]),
        };
        if index >= count {
            return Err(CoreError::NoSuchMatrix {
                name: self.name.to_string(),
                index,
                count,
            });
        }
        let bytes = Self::byte_size(&self.name, self.dtype, shape)?;
        let storage = self.storage.slice(index * bytes, bytes)?;
        Self::new(
            format!("{}[{index}]", self.name),
            self.dtype,
            shape,
            storage,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_lie_are_refused() {
        let bytes = || Storage::from_vec(vec![0; 64]);
        assert!(matches!(
            Tensor::new("t", DType::F32, &[3, 5], bytes()),
            Err(CoreError::SizeMismatch {
                expected: 60,
                found: 64,
                ..
            })
        ));
        assert!(matches!(
            Tensor::new("t", DType::Q8_0, &[2, 33], bytes()),
            Err(CoreError::RaggedRow {
                columns: 33,
                block: 32,
                ..
            })
        ));
        assert!(matches!(
            Tensor::new("t", DType::F32, &[usize::MAX, 2], bytes()),
            Err(CoreError::ShapeOverflow { .. })
        ));
    }

    #[test]
    fn a_stack_is_cut_into_matrices() {
        let values: Vec<u8> = (0..12_u8)
            .flat_map(|i| f32::from(i).to_le_bytes())
            .collect();
        let stack = Tensor::new("t", DType::F32, &[3, 2, 2], Storage::from_vec(values)).unwrap();
        let last = stack.index(2).unwrap();
        assert_eq!(last.shape(), [2, 2]);
        assert_eq!(last.to_array().unwrap()[[0, 1]], 9.0);
        assert!(stack.index(3).is_err());
    }
}
