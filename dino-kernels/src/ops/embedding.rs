//! Token ids to rows.

use super::rows::for_rows;
use crate::{Compute, KernelError};
use dino_core::{Tensor, blocks};
use ndarray::ArrayViewMut2;

/// Looks up the row of each token in `table` (`[vocabulary, features]`, any type) and writes it as f32.
///
/// `output` is `[tokens, features]`.
///
/// # Errors
/// [`KernelError::TokenOutOfRange`] if the table has no row for a token; `output` is as it was then.
///
/// # Panics
/// If shapes do not fit or `output` is not in standard layout.
pub fn embed(
    compute: &Compute,
    table: &Tensor,
    tokens: &[u32],
    output: ArrayViewMut2<'_, f32>,
) -> Result<(), KernelError> {
    let (rows, columns) = (table.rows(), table.columns());
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
            blocks::dequantize(table.dtype(), table.row(token as usize), row);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, random_tensor};
    use dino_core::DType;
    use ndarray::Array2;

    #[test]
    fn rows_of_every_type_are_found() {
        let compute = Compute::new(2).unwrap();
        for dtype in DType::ALL {
            let table = random_tensor(dtype, 50, 256, &mut Random::new(1));
            let tokens: Vec<u32> = (0..200).map(|i| i * 7 % 50).collect();
            let mut output = Array2::zeros((200, 256));
            embed(&compute, &table, &tokens, output.view_mut()).unwrap();
            let all = table.to_array().unwrap();
            for (row, &token) in output.outer_iter().zip(&tokens) {
                assert_eq!(row, all.row(token as usize), "{dtype}");
            }
        }
    }

    #[test]
    fn a_token_too_large_is_named() {
        let compute = Compute::new(1).unwrap();
        let table = random_tensor(DType::F32, 4, 8, &mut Random::new(1));
        let mut output = Array2::zeros((2, 8));
        let error = embed(&compute, &table, &[3, 4], output.view_mut()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "token 4 at index 1: tensor `random` has rows for tokens 0..4 only; \
             was the text encoded with this model's own tokenizer?"
        );
        assert_eq!(output, Array2::<f32>::zeros((2, 8)));
    }
}
