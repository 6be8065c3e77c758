//! Weights of int8 layers: whole rows of 8-bit codes with one scale each.

use super::weight::{Layout, Packing};
use super::{PackError, PackedWeight, pack};
use crate::ThreadPool;
use crate::int8::INT8_MAX_COLUMNS;
use dino_core::storage::Arena;
use dino_core::{Tensor, blocks};
use std::ops::Range;

/// Groups that one task packs.
const GROUPS_A_TASK: usize = 4;

impl PackedWeight {
    /// Whether rows of so many values can be those of an int8 weight: whole runs of 32, and no more than
    /// [`INT8_MAX_COLUMNS`].
    pub fn fits_int8(columns: usize) -> bool {
        columns.is_multiple_of(32) && (1..=INT8_MAX_COLUMNS).contains(&columns)
    }

    /// Packs `tensor`, a matrix `[rows, columns]` of any type, as 8-bit codes with one scale for each row, `max |w| / 127`,
    /// after its columns were multiplied by `factors`, `[columns]`, if there are any.
    ///
    /// The source pages of a mapped tensor are released as they are consumed.
    ///
    /// # Errors
    /// [`PackError::TooLarge`] if sizes overflow; [`PackError::OutOfMemory`].
    ///
    /// # Panics
    /// Unless the columns [fit](Self::fits_int8), or if there is another number of factors.
    pub fn pack_int8(
        tensor: &Tensor,
        factors: Option<&[f32]>,
        lanes: usize,
        pool: &ThreadPool,
        arena: &mut Arena,
    ) -> Result<Self, PackError> {
        let [rows, columns] = [tensor.rows(), tensor.columns()];
        assert!(Self::fits_int8(columns), "{columns} columns of int8");
        assert!(
            factors.is_none_or(|factors| factors.len() == columns),
            "a factor for each column"
        );
        let layout = Layout::int8(columns, lanes).ok_or_else(|| PackError::too_large(tensor))?;
        let storage = pack::fill(tensor, layout, lanes, arena, |bytes| {
            let task_bytes = GROUPS_A_TASK * layout.bytes();
            pool.for_each_part(bytes, task_bytes, |task, packed| {
                let first = task * GROUPS_A_TASK * lanes;
                for (group, packed) in packed.chunks_exact_mut(layout.bytes()).enumerate() {
                    let first = first + group * lanes;
                    let words_and_heads = packed.split_at_mut(layout.words);
                    pack_group(
                        tensor,
                        factors,
                        first..(first + lanes).min(rows),
                        lanes,
                        words_and_heads,
                    );
                }
                pack::release_rows(tensor, first..(first + GROUPS_A_TASK * lanes).min(rows));
            });
        })?;
        Ok(Self {
            name: tensor.name().to_owned(),
            dtype: tensor.dtype(),
            packing: Packing::Int8,
            rows,
            columns,
            lanes,
            layout,
            first: 0,
            sparse: false,
            storage,
        })
    }

    /// Whether this is an int8 weight; see [`Self::pack_int8`].
    pub fn is_int8(&self) -> bool {
        self.packing == Packing::Int8
    }

    /// Group `group` of an int8 weight.
    ///
    /// # Panics
    /// If there is no such group, or this is another weight.
    pub(crate) fn int8_group(&self, group: usize) -> Int8Group<'_> {
        assert!(self.is_int8(), "an int8 weight");
        let (words, heads) = self.group_bytes(group);
        Int8Group {
            words: &words[..self.columns * self.lanes],
            heads: &heads[..8 * self.lanes],
            lanes: self.lanes,
        }
    }
}

fn pack_group(
    tensor: &Tensor,
    factors: Option<&[f32]>,
    rows: Range<usize>,
    lanes: usize,
    (words, heads): (&mut [u8], &mut [u8]),
) {
    let mut values = vec![0.0; tensor.columns()];
    for (lane, row) in rows.enumerate() {
        blocks::dequantize(tensor.dtype(), tensor.row(row), &mut values);
        if let Some(factors) = factors {
            values.iter_mut().zip(factors).for_each(|(w, f)| *w *= f);
        }
        put_row(&values, lane, lanes, words, heads);
    }
}

/// Rounds a row to the codes of lane `lane` of a group.
fn put_row(values: &[f32], lane: usize, lanes: usize, words: &mut [u8], heads: &mut [u8]) {
    let largest = values
        .iter()
        .fold(0.0_f32, |largest, w| largest.max(w.abs()));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let mut sum = 0;
    for (word, values) in words
        .chunks_exact_mut(4 * lanes)
        .zip(values.chunks_exact(4))
    {
        for (to, w) in word[4 * lane..4 * lane + 4].iter_mut().zip(values) {
            let code = (w * inverse).round_ties_even() as i8;
            sum += i32::from(code);
            *to = code as u8;
        }
    }
    let (scales, sums) = heads.split_at_mut(4 * lanes);
    let at = 4 * lane..4 * lane + 4;
    scales[at.clone()].copy_from_slice(&(largest / 127.0).to_le_bytes());
    sums[at].copy_from_slice(&sum.to_le_bytes());
}

/// One group of an int8 weight: `[columns / 4][lanes]` words of four codes, then a scale and the sum of its codes for each
/// row.
#[derive(Clone, Copy)]
pub(crate) struct Int8Group<'a> {
    /// `4 × lanes` bytes for each four columns.
    pub(crate) words: &'a [u8],
    /// f32 scales of all lanes, then i32 sums of their codes.
    pub(crate) heads: &'a [u8],
    pub(crate) lanes: usize,
}

impl Int8Group<'_> {
    fn head(&self, index: usize) -> [u8; 4] {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.heads[4 * index..4 * index + 4]);
        bytes
    }

    /// The scale of a row.
    pub(crate) fn scale(&self, lane: usize) -> f32 {
        f32::from_le_bytes(self.head(lane))
    }

    /// The sum of the codes of a row.
    pub(crate) fn sum(&self, lane: usize) -> i32 {
        i32::from_le_bytes(self.head(self.lanes + lane))
    }
}
