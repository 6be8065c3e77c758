//! Whole tensors to another type, a row at a time: the f32 values of a tensor are never in memory.

use crate::QuantError;
use crate::quantize::quantize_row;
use dino_core::storage::AlignedBytes;
use dino_core::{DType, Tensor, blocks};
use rayon::prelude::*;

/// A tensor's bytes in another type, and what was lost.
#[derive(Debug)]
pub struct Encoded {
    /// The rows, one behind the other.
    pub bytes: AlignedBytes,
    /// What was lost.
    pub loss: Loss,
}

/// What storing values in another type lost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// `Σ (value - decoded)²`.
    pub error: f64,
    /// The same, each square times the importance of its column; equal to `error` without importance.
    pub weighted_error: f64,
    /// `Σ value²`.
    pub size: f64,
}

impl Loss {
    /// The error as a fraction of the values: the root of the quotient of both sums, 0 of nothing.
    pub fn relative(&self) -> f64 {
        if self.size > 0.0 {
            (self.error / self.size).sqrt()
        } else {
            0.0
        }
    }

    /// Of some values, and by how much each is missed.
    pub(crate) fn of(
        values: &[f32],
        misses: impl Iterator<Item = f32>,
        importance: Option<&[f32]>,
    ) -> Self {
        let mut loss = Self::default();
        for (i, (&value, miss)) in values.iter().zip(misses).enumerate() {
            let square = f64::from(miss).powi(2);
            loss.error += square;
            loss.weighted_error +=
                square * importance.map_or(1.0, |importance| f64::from(importance[i]));
            loss.size += f64::from(value).powi(2);
        }
        loss
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            error: self.error + other.error,
            weighted_error: self.weighted_error + other.weighted_error,
            size: self.size + other.size,
        }
    }
}

/// `tensor` as `target`, with what was lost. `importance` has a value for each column, or for each column of each
/// matrix of a stack.
///
/// # Errors
/// As those of [`quantize`](crate::quantize()); [`QuantError::Importance`] if it has another number of values.
pub fn encode_tensor(
    tensor: &Tensor,
    target: DType,
    importance: Option<&[f32]>,
) -> Result<Encoded, QuantError> {
    let row_bytes = crate::quantize::row_bytes(target, tensor.columns())?;
    let rows = Rows::new(tensor, target, importance)?;
    let mut bytes = AlignedBytes::zeroed(row_bytes * tensor.rows());
    let mut losses = vec![Loss::default(); tensor.rows()];
    if row_bytes > 0 {
        bytes
            .as_mut_slice()
            .par_chunks_exact_mut(row_bytes)
            .zip(&mut losses)
            .enumerate()
            .try_for_each_init(
                || Row::new(tensor.columns()),
                |row, (index, (out, loss))| {
                    *loss = rows.encode(index, row, out)?;
                    Ok(())
                },
            )?;
    }
    // In their order, so that sums do not depend on the threads.
    let loss = losses.into_iter().fold(Loss::default(), Loss::plus);
    Ok(Encoded { bytes, loss })
}

/// Makes sure that every value of `tensor` is a finite number.
///
/// # Errors
/// [`QuantError::NotFinite`], which names the first that is not.
pub fn check_finite(tensor: &Tensor) -> Result<(), QuantError> {
    let columns = tensor.columns();
    let fault = |values: &mut Vec<f32>, row: usize| {
        blocks::dequantize(tensor.dtype(), tensor.row(row), values);
        let column = values.iter().position(|value| !value.is_finite())?;
        let value = values[column];
        Some(QuantError::NotFinite { row, column, value })
    };
    let faults = (0..tensor.rows())
        .into_par_iter()
        .map_init(|| vec![0.0; columns], fault);
    match faults.find_first(Option::is_some) {
        Some(Some(fault)) => Err(fault),
        _ => Ok(()),
    }
}

/// What storing `tensor` as `target` would lose, judged by about `rows` of its rows and scaled to all.
///
/// # Errors
/// As those of [`encode_tensor`].
pub fn estimate_loss(
    tensor: &Tensor,
    target: DType,
    importance: Option<&[f32]>,
    rows: usize,
) -> Result<Loss, QuantError> {
    let row_bytes = crate::quantize::row_bytes(target, tensor.columns())?;
    let encoder = Rows::new(tensor, target, importance)?;
    let all = tensor.rows();
    let sampled = rows.clamp(1, all.max(1)).min(all);
    let losses: Result<Vec<Loss>, QuantError> = (0..sampled)
        .into_par_iter()
        .map_init(
            || (Row::new(tensor.columns()), vec![0; row_bytes]),
            |(row, out), sample| encoder.encode(sample * all / sampled, row, out),
        )
        .collect();
    let loss = losses?.into_iter().fold(Loss::default(), Loss::plus);
    let scale = all as f64 / sampled.max(1) as f64;
    Ok(Loss {
        error: loss.error * scale,
        weighted_error: loss.weighted_error * scale,
        size: loss.size * scale,
    })
}

/// Into how many matrices `importance` cuts `tensor`: it has a value for each column of each.
///
/// # Errors
/// [`QuantError::Importance`] if it does not fit.
pub(crate) fn matrices(tensor: &Tensor, importance: Option<&[f32]>) -> Result<usize, QuantError> {
    let columns = tensor.columns();
    let matrices = importance.map_or(1, |importance| importance.len() / columns.max(1));
    let fits = matrices > 0 && tensor.rows().is_multiple_of(matrices);
    match importance {
        Some(importance) if !(fits && importance.len() == matrices * columns) => {
            Err(QuantError::Importance {
                columns,
                found: importance.len(),
            })
        }
        _ => Ok(matrices),
    }
}

/// A row's values before and after.
struct Row {
    values: Vec<f32>,
    decoded: Vec<f32>,
}

impl Row {
    fn new(columns: usize) -> Self {
        Self {
            values: vec![0.0; columns],
            decoded: vec![0.0; columns],
        }
    }
}

/// The rows of a tensor on their way to another type.
struct Rows<'a> {
    tensor: &'a Tensor,
    target: DType,
    importance: Option<&'a [f32]>,
    /// Rows that share their importance.
    shared: usize,
}

impl<'a> Rows<'a> {
    fn new(
        tensor: &'a Tensor,
        target: DType,
        importance: Option<&'a [f32]>,
    ) -> Result<Self, QuantError> {
        let matrices = matrices(tensor, importance)?;
        Ok(Self {
            tensor,
            target,
            importance,
            shared: tensor.rows() / matrices,
        })
    }

    fn encode(&self, index: usize, row: &mut Row, out: &mut [u8]) -> Result<Loss, QuantError> {
        let Row { values, decoded } = row;
        blocks::dequantize(self.tensor.dtype(), self.tensor.row(index), values);
        let importance = self.importance.map(|importance| {
            let start = index / self.shared * values.len();
            &importance[start..start + values.len()]
        });
        quantize_row(self.target, values, importance, out).map_err(|error| error.in_row(index))?;
        blocks::dequantize(self.target, out, decoded);
        let misses = values
            .iter()
            .zip(&*decoded)
            .map(|(value, decoded)| value - decoded);
        Ok(Loss::of(values, misses, importance))
    }
}
