//! From the file's rows to interleaved groups.

use super::format::{MAX_HEAD, with_format};
use super::weight::{Layout, Packing};
use super::{Format, PackedWeight};
use crate::ThreadPool;
use dino_core::storage::Arena;
use dino_core::{DType, Storage, Tensor};
use std::ops::Range;

/// Why a weight could not be packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The packed matrix would not fit in the address space.
    #[error("tensor `{name}` {shape:?} is too large to be packed")]
    TooLarge {
        /// The tensor's name.
        name: String,
        /// Its shape, rows first.
        shape: Vec<usize>,
    },
    /// These are not the bytes that packing gives.
    #[error("tensor `{name}`: {found} packed bytes; expected {expected}, on a cache line")]
    NotPacked {
        /// The tensor's name.
        name: String,
        /// Bytes that it takes packed.
        expected: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// The system has no memory for it.
    #[error("no memory for the {bytes} bytes of tensor `{name}`: {source}")]
    OutOfMemory {
        /// The tensor's name.
        name: String,
        /// Bytes that it takes.
        bytes: usize,
        /// The cause.
        source: std::io::Error,
    },
}

impl PackError {
    pub(super) fn too_large(tensor: &Tensor) -> Self {
        Self::TooLarge {
            name: tensor.name().to_owned(),
            shape: tensor.shape().to_vec(),
        }
    }
}

/// Groups that one task packs before it lets go of the source pages.
const GROUPS_A_TASK: usize = 16;

impl PackedWeight {
    /// Packs `tensor`, a matrix `[rows, columns]`, for registers of `lanes` rows, into memory of `arena`.
    ///
    /// The source pages of a mapped tensor are released as they are consumed, so that the peak of
    /// memory stays near the size of the weights, not twice that.
    ///
    /// # Errors
    /// [`PackError::TooLarge`] if sizes overflow; [`PackError::OutOfMemory`].
    pub fn pack(
        tensor: &Tensor,
        lanes: usize,
        pool: &ThreadPool,
        arena: &mut Arena,
    ) -> Result<Self, PackError> {
        let (dtype, rows, columns) = (tensor.dtype(), tensor.rows(), tensor.columns());
        let layout = Layout::of(dtype, columns, lanes);
        let layout = layout.ok_or_else(|| PackError::too_large(tensor))?;
        let storage = fill(tensor, layout, lanes, arena, |bytes| {
            let task_bytes = (GROUPS_A_TASK * layout.bytes()).max(1);
            let row_bytes = tensor.storage().len() / rows.max(1);
            pool.for_each_part(bytes, task_bytes, |task, packed| {
                let first = task * GROUPS_A_TASK * lanes;
                let end = (first + GROUPS_A_TASK * lanes).min(rows);
                let source = &tensor.storage().as_slice()[first * row_bytes..end * row_bytes];
                pack_rows(dtype, source, (row_bytes, lanes), layout, packed);
                release_rows(tensor, first..end);
            });
        })?;
        Ok(Self {
            name: tensor.name().to_owned(),
            dtype,
            packing: Packing::Stored,
            rows,
            columns,
            lanes,
            layout,
            first: 0,
            sparse: false,
            storage,
        })
    }
}

/// Packs `rows`, of so many bytes each, into the groups of `packed`, which are zero and hold `lanes` of them each.
pub(super) fn pack_rows(
    dtype: DType,
    rows: &[u8],
    (row_bytes, lanes): (usize, usize),
    layout: Layout,
    packed: &mut [u8],
) {
    let groups = packed.chunks_exact_mut(layout.bytes().max(1));
    for (group, source) in groups.zip(rows.chunks((lanes * row_bytes).max(1))) {
        let (words, heads) = group.split_at_mut(layout.words);
        with_format!(dtype, F => {
            interleave::<F>(source, row_bytes, lanes, words, heads);
        }, _ => transpose(dtype, source, row_bytes, lanes, words));
    }
}

/// Memory of `arena` for the groups of `tensor`, filled by `pack`.
pub(super) fn fill(
    tensor: &Tensor,
    layout: Layout,
    lanes: usize,
    arena: &mut Arena,
    pack: impl FnOnce(&mut [u8]),
) -> Result<Storage, PackError> {
    let bytes = tensor.rows().div_ceil(lanes).checked_mul(layout.bytes());
    let bytes = bytes.ok_or_else(|| PackError::too_large(tensor))?;
    let storage = arena.fill(bytes, pack);
    storage.map_err(|source| PackError::OutOfMemory {
        name: tensor.name().to_owned(),
        bytes,
        source,
    })
}

/// Lets go of the source pages of rows that were packed.
pub(super) fn release_rows(tensor: &Tensor, rows: Range<usize>) {
    let row_bytes = tensor.storage().len() / tensor.rows();
    let (offset, length) = (rows.start * row_bytes, rows.len() * row_bytes);
    if let Ok(consumed) = tensor.storage().slice(offset, length) {
        consumed.release();
    }
}

/// Interleaves the words and heads of up to `lanes` quantized rows.
fn interleave<F: Format>(
    source: &[u8],
    row_bytes: usize,
    lanes: usize,
    words: &mut [u8],
    heads: &mut [u8],
) {
    let block_bytes = F::DTYPE.block_bytes();
    for (lane, row) in source.chunks_exact(row_bytes).enumerate() {
        for (index, block) in row.chunks_exact(block_bytes).enumerate() {
            let to = &mut words[index * F::WORDS * lanes * 4..][..F::WORDS * lanes * 4];
            let codes = block[F::CODES].chunks_exact(4);
            for (word, code) in to.chunks_exact_mut(4 * lanes).zip(codes) {
                word[4 * lane..4 * lane + 4].copy_from_slice(code);
            }
            let mut head = [0; MAX_HEAD];
            F::head(block, &mut head[..F::HEAD]);
            let to = &mut heads[index * F::HEAD * lanes..][..F::HEAD * lanes];
            let (halves, bytes) = to.split_at_mut(2 * F::HALVES * lanes);
            for (half, value) in halves.chunks_exact_mut(2 * lanes).zip(head.chunks_exact(2)) {
                half[2 * lane..2 * lane + 2].copy_from_slice(value);
            }
            for (byte, value) in bytes.chunks_exact_mut(lanes).zip(&head[2 * F::HALVES..]) {
                byte[lane] = *value;
            }
        }
    }
}

/// Turns up to `lanes` float rows into `[columns][lanes]`.
fn transpose(dtype: DType, source: &[u8], row_bytes: usize, lanes: usize, words: &mut [u8]) {
    let size = dtype.block_bytes();
    for (lane, row) in source.chunks_exact(row_bytes).enumerate() {
        let to = words.chunks_exact_mut(size * lanes);
        for (column, value) in to.zip(row.chunks_exact(size)) {
            column[size * lane..size * (lane + 1)].copy_from_slice(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, random_tensor};

    /// What is packed means what the file's rows mean, for every type and for ragged row counts.
    #[test]
    fn packing_keeps_the_meaning_of_every_type() {
        let pool = ThreadPool::new(2).unwrap();
        let mut random = Random::new(7);
        for dtype in DType::ALL {
            for (rows, lanes) in [(1, 8), (8, 8), (19, 8), (16, 16), (300, 16)] {
                let columns = 2 * dtype.block_len().max(32);
                let tensor = random_tensor(dtype, rows, columns, &mut random);
                let packed = PackedWeight::pack(&tensor, lanes, &pool, &mut Arena::new()).unwrap();
                let expected = tensor.to_array().unwrap();
                let mut panel = vec![0.0; columns * lanes];
                for row in 0..rows {
                    packed.unpack_group(row / lanes, &mut panel);
                    for column in 0..columns {
                        let found = panel[column * lanes + row % lanes];
                        let expected = expected[[row, column]];
                        let bound = 1e-5 * expected.abs().max(1e-3);
                        assert!(
                            (found - expected).abs() <= bound,
                            "{dtype} [{row}, {column}]: {expected} packed as {found}"
                        );
                    }
                }
            }
        }
    }
}
