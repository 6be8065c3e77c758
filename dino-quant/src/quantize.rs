//! Rows and matrices of f32 to runs of blocks.

use crate::QuantError;
use crate::encode::Encode;
use dino_core::blocks::{
    BF16, F16, F32, IQ4_NL, IQ4_XS, MXFP4, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K,
    Q8_0,
};
use dino_core::{DType, blocks, cast};
use rayon::prelude::*;

/// Whether [`quantize`] can write `dtype`.
pub fn can_encode(dtype: DType) -> bool {
    encoder(dtype).is_ok()
}

/// `values`, rows of `columns` each, encoded as `dtype`; rows in parallel, with the same bytes for any number of threads.
///
/// What is made small is `Σ importance · (value - decoded)²` of each row. `importance`, one of each column, says how much
/// an error there costs: the mean square of what the column is multiplied by. Without it all columns count the same, and
/// the simple formats (Q4_0 to Q8_0, MXFP4) are rounded as ggml's reference does, to the byte.
///
/// # Errors
/// If there is no encoder for `dtype`, a row is not a whole number of blocks, or a value cannot be stored.
///
/// # Panics
/// If `values` are not a whole number of rows, or `importance` is not of one row.
pub fn quantize(
    dtype: DType,
    columns: usize,
    values: &[f32],
    importance: Option<&[f32]>,
) -> Result<Vec<u8>, QuantError> {
    let row_bytes = row_bytes(dtype, columns)?;
    let encode = encoder(dtype)?;
    let rows = values.len().checked_div(columns).unwrap_or(0);
    assert_eq!(
        rows * columns,
        values.len(),
        "values are not whole rows of {columns}"
    );
    let mut bytes = vec![0; rows * row_bytes];
    if rows > 0 {
        bytes
            .par_chunks_exact_mut(row_bytes)
            .zip(values.par_chunks_exact(columns))
            .enumerate()
            .try_for_each(|(row, (out, values))| {
                encode(values, importance, out).map_err(|e| e.in_row(row))
            })?;
    }
    Ok(bytes)
}

/// One row of values encoded as `dtype` into `out`, like [`quantize`]; errors call it row 0.
///
/// # Errors
/// As [`quantize`].
///
/// # Panics
/// If `out` is not as long as the encoded row, or `importance` not as `values`.
pub fn quantize_row(
    dtype: DType,
    values: &[f32],
    importance: Option<&[f32]>,
    out: &mut [u8],
) -> Result<(), QuantError> {
    let encode = encoder(dtype)?;
    assert_eq!(out.len(), row_bytes(dtype, values.len())?, "bytes of a row");
    encode(values, importance, out)
}

/// Bytes of a row of `columns` values as `dtype`.
pub(crate) fn row_bytes(dtype: DType, columns: usize) -> Result<usize, QuantError> {
    dtype.row_bytes(columns).ok_or(QuantError::RaggedRow {
        columns,
        dtype,
        block: dtype.block_len(),
    })
}

/// Encodes a row of whole blocks into as many bytes as they take.
type RowEncoder = fn(&[f32], Option<&[f32]>, &mut [u8]) -> Result<(), QuantError>;

fn encoder(dtype: DType) -> Result<RowEncoder, QuantError> {
    Ok(match dtype {
        DType::F32 => encode_row::<F32, _>,
        DType::F16 => encode_row::<F16, _>,
        DType::BF16 => encode_row::<BF16, _>,
        DType::Q4_0 => encode_row::<Q4_0, _>,
        DType::Q4_1 => encode_row::<Q4_1, _>,
        DType::Q5_0 => encode_row::<Q5_0, _>,
        DType::Q5_1 => encode_row::<Q5_1, _>,
        DType::Q8_0 => encode_row::<Q8_0, _>,
        DType::Q2_K => encode_row::<Q2_K, _>,
        DType::Q3_K => encode_row::<Q3_K, _>,
        DType::Q4_K => encode_row::<Q4_K, _>,
        DType::Q5_K => encode_row::<Q5_K, _>,
        DType::Q6_K => encode_row::<Q6_K, _>,
        DType::IQ4_NL => encode_row::<IQ4_NL, _>,
        DType::IQ4_XS => encode_row::<IQ4_XS, _>,
        DType::MXFP4 => encode_row::<MXFP4, _>,
        _ => return Err(QuantError::NoEncoder(dtype)),
    })
}

fn encode_row<B: Encode<N>, const N: usize>(
    values: &[f32],
    importance: Option<&[f32]>,
    out: &mut [u8],
) -> Result<(), QuantError> {
    let dtype = B::DTYPE;
    if let Some(importance) = importance {
        assert_eq!(importance.len(), values.len(), "importance of a row");
    }
    let Some(blocks) = cast::blocks_mut::<B>(out) else {
        panic!("a row's bytes are not a whole number of {dtype} blocks");
    };
    let importance = importance.map(|importance| importance.as_chunks::<N>().0);
    for (i, (block, values)) in blocks.iter_mut().zip(values.as_chunks::<N>().0).enumerate() {
        *block = B::encode(values, importance.map(|importance| &importance[i]));
    }
    // A scale that became infinite as f16 shows in what reads back.
    let mut decoded = vec![0.0; values.len()];
    blocks::dequantize(dtype, out, &mut decoded);
    let is_lost = |(value, decoded): (&f32, &f32)| !(value.is_finite() && decoded.is_finite());
    match values.iter().zip(&decoded).position(is_lost) {
        None => Ok(()),
        Some(column) => {
            let start = column - column % N;
            Err(fault(&values[start..start + N], start, dtype))
        }
    }
}

/// Names the value that keeps the block of `values`, which starts at column `start`, from being stored.
fn fault(values: &[f32], start: usize, dtype: DType) -> QuantError {
    let magnitude = |x: f32| if x.is_nan() { f32::INFINITY } else { x.abs() };
    let mut worst = 0;
    for (i, &value) in values.iter().enumerate() {
        if magnitude(value) > magnitude(values[worst]) {
            worst = i;
        }
    }
    let (row, column, value) = (0, start + worst, values[worst]);
    if value.is_finite() {
        QuantError::TooLarge {
            row,
            column,
            value,
            dtype,
        }
    } else {
        QuantError::NotFinite { row, column, value }
    }
}
