//! Token ids to rows.

use super::rows::for_rows;
use crate::{Compute, KernelError, PackedWeight};
use dino_core::{Tensor, blocks};
use ndarray::ArrayViewMut2;

/// Where the rows of an embedding are.
#[derive(Clone, Copy, Debug)]
pub enum EmbeddingTable<'a> {
    /// In a tensor of the file, `[vocabulary, features]`.
    Stored(&'a Tensor),
    /// In a packed weight: the head of a model that uses one matrix for both. Reading a row of it touches no page
    /// of the file.
    Packed(&'a PackedWeight),
}

impl EmbeddingTable<'_> {
    fn dim(self) -> (usize, usize) {
        match self {
            Self::Stored(table) => (table.rows(), table.columns()),
            Self::Packed(table) => (table.rows(), table.columns()),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Stored(table) => table.name(),
            Self::Packed(table) => table.name(),
        }
    }

    fn read(self, row: usize, output: &mut [f32]) {
        match self {
            Self::Stored(table) => blocks::dequantize(table.dtype(), table.row(row), output),
            Self::Packed(table) => table.unpack_row(row, output),
        }
    }
}

/// Looks up the row of each token in `table` and writes it as f32 to `output`, `[tokens, features]`.
///
/// # Errors
/// [`KernelError::TokenOutOfRange`] if the table has no row for a token; `output` is as it was then.
///
/// # Panics
/// If shapes do not fit or `output` is not in standard layout.
pub fn embed(
    compute: &Compute,
    table: EmbeddingTable<'_>,
    tokens: &[u32],
    output: ArrayViewMut2<'_, f32>,
) -> Result<(), KernelError> {
    let (rows, columns) = table.dim();
    assert_eq!(
        output.dim(),
        (tokens.len(), columns),
        "tokens and features of the output"
    );
    if let Some(index) = tokens.iter().position(|&token| token as usize >= rows) {
        return Err(KernelError::TokenOutOfRange {
            token: tokens[index],
            index,
            tensor: table.name().to_owned(),
            rows,
        });
    }
    for_rows(compute, output, |first, rows| {
        for (row, &token) in rows.chunks_exact_mut(columns.max(1)).zip(&tokens[first..]) {
            table.read(token as usize, row);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, random_tensor};
    use dino_core::DType;
    use dino_core::storage::Arena;
    use ndarray::Array2;

    #[test]
    fn rows_of_every_type_are_found() {
        let compute = Compute::new(2).unwrap();
        for dtype in DType::ALL {
            let table = random_tensor(dtype, 50, 256, &mut Random::new(1));
            let tokens: Vec<u32> = (0..200).map(|i| i * 7 % 50).collect();
            let mut output = Array2::zeros((200, 256));
            let stored = EmbeddingTable::Stored(&table);
            embed(&compute, stored, &tokens, output.view_mut()).unwrap();
            let all = table.to_array().unwrap();
            for (row, &token) in output.outer_iter().zip(&tokens) {
                assert_eq!(row, all.row(token as usize), "{dtype}");
            }
            let packed = PackedWeight::pack(&table, 8, &compute.pool, &mut Arena::new()).unwrap();
            let mut unpacked = Array2::zeros((200, 256));
            let packed = EmbeddingTable::Packed(&packed);
            embed(&compute, packed, &tokens, unpacked.view_mut()).unwrap();
            // An offset is multiplied by its scale before it is added: two roundings more.
            for (x, y) in output.iter().zip(&unpacked) {
                assert!(
                    (x - y).abs() <= 1e-5 * x.abs().max(1e-3),
                    "{dtype}: {x} {y}"
                );
            }
        }
    }

    #[test]
    fn a_token_too_large_is_named() {
        let compute = Compute::new(1).unwrap();
        let table = random_tensor(DType::F32, 4, 8, &mut Random::new(1));
        let mut output = Array2::zeros((2, 8));
        let error = embed(
            &compute,
            EmbeddingTable::Stored(&table),
            &[3, 4],
            output.view_mut(),
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "token 4 at index 1: tensor `random` has rows for tokens 0..4 only; \
             was the text encoded with this model's own tokenizer?"
        );
        assert_eq!(output, Array2::<f32>::zeros((2, 8)));
    }
}
