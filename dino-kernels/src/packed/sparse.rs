//! Weights of which many are zero, without their zeros.
//!
//! Where half of a weight is zero, half of what is read of it says nothing. So a *mask* says for each word of all rows of a
//! group which of its bytes are codes other than zero, and only those follow, one behind the other; `vpexpandb` puts 64 of
//! them where they belong at once.
//!
//! ```text
//! index ── u64: where group 0, group 1, … begin, and where the last ends
//! group ── masks ── block 0: word 0 of all rows, a bit a byte │ word 1 │ …
//!       ├─ heads ── as those of a dense group
//!       └─ codes ── block 0: those of word 0 │ those of word 1 │ …
//! ```
//!
//! Codes of four bits lie in pairs, the first in the low half of a byte; each word begins with a byte of its own. Expanded,
//! a group is a dense one to the bit, and so are the results.

use super::weight::{Layout, Packing};
use super::{Codes, Format, PackError, PackedWeight, Q4_0, Q8_0};
use crate::table::Expand;
use crate::{Compute, DisjointMut, ThreadPool, scalar};
use dino_core::storage::{AlignedBytes, Arena};
use dino_core::{DType, Storage, Tensor};
use std::ops::Range;

/// A format in which exactly one code means zero.
pub(crate) trait SparseFormat: Codes {
    /// That code, as it is stored.
    const ZERO: u8;
    /// Whether codes have four bits.
    const NIBBLES: bool;

    /// Bytes that the codes of a word take, of which `count` are not zero.
    #[inline(always)]
    fn bytes(count: u32) -> usize {
        if Self::NIBBLES {
            count.div_ceil(2) as usize
        } else {
            count as usize
        }
    }
}

impl SparseFormat for Q8_0 {
    const ZERO: u8 = 0;
    const NIBBLES: bool = false;
}

impl SparseFormat for Q4_0 {
    const ZERO: u8 = 8;
    const NIBBLES: bool = true;
}

/// Calls a generic function with the [`SparseFormat`] of a dtype; the last arm takes all other types.
macro_rules! with_sparse_format {
    ($dtype:expr, $format:ident => $body:expr, _ => $otherwise:expr) => {{
        match $dtype {
            dino_core::DType::Q8_0 => {
                type $format = $crate::packed::Q8_0;
                $body
            }
            dino_core::DType::Q4_0 => {
                type $format = $crate::packed::Q4_0;
                $body
            }
            _ => $otherwise,
        }
    }};
}
pub(crate) use with_sparse_format;

/// Words of a block of 32 values.
const WORDS: usize = 8;
/// Rows that a density is judged by.
const SAMPLED_ROWS: usize = 64;

/// Bytes behind the last group that kernels may read: a block without zeros.
const fn spare(lanes: usize) -> usize {
    4 * WORDS * lanes
}

/// One group of a sparse weight.
#[derive(Clone, Copy)]
pub(crate) struct SparseGroup<'a> {
    /// `[columns / 4][lanes / 2]`: bit `4 row + byte` of each word.
    pub(crate) masks: &'a [u8],
    /// As those of a dense group.
    pub(crate) heads: &'a [u8],
    /// From the group's first code to the end of the weight. What is not the group's may be read, and means nothing.
    pub(crate) codes: &'a [u8],
    /// Bytes of `codes` that are the group's; the next group follows.
    pub(crate) own: usize,
    pub(crate) columns: usize,
    pub(crate) lanes: usize,
}

impl SparseGroup<'_> {
    /// The mask of word `word` of the group.
    pub(crate) fn mask(&self, word: usize) -> u64 {
        let size = self.lanes / 2;
        let mut mask = [0; 8];
        mask[..size].copy_from_slice(&self.masks[word * size..][..size]);
        u64::from_le_bytes(mask)
    }
}

/// Sizes in bytes of the parts of a group that do not depend on its zeros.
#[derive(Clone, Copy)]
struct Parts {
    masks: usize,
    heads: usize,
}

impl Parts {
    fn of(columns: usize, lanes: usize) -> Self {
        Self {
            masks: columns / 4 * (lanes / 2),
            heads: columns / 32 * (2 * lanes),
        }
    }
}

/// Bytes of the index of `groups` groups.
fn index_bytes(groups: usize) -> Option<usize> {
    let numbers = groups.checked_add(1)?;
    numbers.checked_mul(8)?.checked_next_multiple_of(64)
}

impl PackedWeight {
    /// Packs `tensor` for the kernels of `compute`: without its zeros, where those make it faster, else as
    /// [`PackedWeight::pack`] does.
    ///
    /// # Errors
    /// As those of [`PackedWeight::pack`].
    pub fn pack_for(
        tensor: &Tensor,
        compute: &Compute,
        arena: &mut Arena,
    ) -> Result<Self, PackError> {
        let Compute { kernels, pool, .. } = compute;
        let lanes = kernels.lanes();
        match density(tensor) {
            Some(density) if kernels.sparse_pays(tensor.dtype(), density) => {
                Self::pack_sparse(tensor, lanes, pool, arena)
            }
            _ => Self::pack(tensor, lanes, pool, arena),
        }
    }

    /// Packs `tensor`, a matrix of Q8_0 or Q4_0, without its zeros, for registers of 8 or 16 rows.
    ///
    /// # Errors
    /// As those of [`PackedWeight::pack`].
    ///
    /// # Panics
    /// If it is of another type, or for registers of other sizes.
    pub fn pack_sparse(
        tensor: &Tensor,
        lanes: usize,
        pool: &ThreadPool,
        arena: &mut Arena,
    ) -> Result<Self, PackError> {
        assert!(matches!(lanes, 8 | 16), "registers of {lanes} rows");
        with_sparse_format!(tensor.dtype(), F => pack_as::<F>(tensor, lanes, pool, arena), _ => {
            panic!("{} has no code for zero alone", tensor.dtype())
        })
    }

    /// Whether zeros were left out.
    pub fn is_sparse(&self) -> bool {
        self.sparse
    }

    /// Group `group` of a sparse weight.
    ///
    /// # Panics
    /// If there is no such group.
    pub(crate) fn sparse_group(&self, group: usize) -> SparseGroup<'_> {
        let bytes = self.storage.as_slice();
        let start = number(bytes, group);
        let Parts { masks, heads } = Parts::of(self.columns, self.lanes);
        let (masks, rest) = bytes[start..].split_at(masks);
        let (heads, codes) = rest.split_at(heads);
        SparseGroup {
            masks,
            heads,
            codes,
            own: number(bytes, group + 1) - (bytes.len() - codes.len()),
            columns: self.columns,
            lanes: self.lanes,
        }
    }

    /// Group `group` of a sparse weight as that of a dense one, for what is not worth a kernel.
    pub(crate) fn filled_in(&self, group: usize) -> Self {
        self.expanded(group..group + 1, |group, words| {
            let dtype = self.dtype;
            scalar::sparse::expand(Expand {
                dtype,
                group,
                words,
            });
        })
    }

    /// Some groups of a sparse weight as a dense one, whose first group has the number that it has here. `expand` writes
    /// the words of each.
    pub(crate) fn expanded(
        &self,
        groups: Range<usize>,
        expand: impl Fn(&SparseGroup<'_>, &mut [u8]),
    ) -> Self {
        let layout = Layout::of(self.dtype, self.columns, self.lanes).expect("a packed weight");
        let mut bytes = AlignedBytes::zeroed(groups.len() * layout.bytes());
        let parts = bytes.as_mut_slice().chunks_exact_mut(layout.bytes().max(1));
        for (index, part) in groups.clone().zip(parts) {
            let group = self.sparse_group(index);
            let (words, heads) = part.split_at_mut(layout.words);
            expand(&group, words);
            heads[..group.heads.len()].copy_from_slice(group.heads);
        }
        Self {
            first: groups.start,
            sparse: false,
            layout,
            storage: Storage::from_aligned(bytes),
            ..self.clone()
        }
    }
}

/// The fraction of the codes of `tensor` that are not zero, judged by some rows; `None` for types that are not packed
/// without zeros.
pub(crate) fn density(tensor: &Tensor) -> Option<f64> {
    with_sparse_format!(tensor.dtype(), F => {
        let rows = tensor.rows();
        let sampled = rows.min(SAMPLED_ROWS);
        let (mut codes, mut others) = (0, 0);
        for sample in 0..sampled {
            let row = tensor.row(sample * rows / sampled);
            for block in row.chunks_exact(F::DTYPE.block_bytes()) {
                let values = codes_of::<F>(block);
                codes += values.len();
                others += values.iter().filter(|&&code| code != F::ZERO).count();
            }
        }
        (codes > 0).then(|| others as f64 / codes as f64)
    }, _ => None)
}

/// Whether `storage` holds a weight of these sizes without its zeros.
pub(super) fn is_sparse(
    dtype: DType,
    [rows, columns]: [usize; 2],
    lanes: usize,
    storage: &Storage,
) -> bool {
    let is_known = with_sparse_format!(dtype, F => columns.is_multiple_of(F::LEN), _ => false);
    let (groups, bytes) = (rows.div_ceil(lanes.max(1)), storage.as_slice());
    let Some(index) = index_bytes(groups).filter(|&index| index <= bytes.len()) else {
        return false;
    };
    if !is_known || !matches!(lanes, 8 | 16) {
        return false;
    }
    let Parts { masks, heads } = Parts::of(columns, lanes);
    let numbers = (0..=groups).map(|group| number(bytes, group));
    let follow = |pair: (usize, usize)| pair.1.checked_sub(pair.0) >= Some(masks + heads);
    number(bytes, 0) == index
        && numbers.clone().zip(numbers.skip(1)).all(follow)
        && number(bytes, groups).checked_add(spare(lanes)) == Some(bytes.len())
}

/// Number `at` of an index.
fn number(bytes: &[u8], at: usize) -> usize {
    let bytes = bytes[8 * at..][..8].try_into();
    u64::from_le_bytes(bytes.expect("eight bytes")) as usize
}

/// The codes of a stored block, value by value, as they are stored.
fn codes_of<F: Format>(block: &[u8]) -> [u8; 32] {
    let mut head = [0; 2];
    F::head(block, &mut head);
    F::decode(&head, &block[F::CODES], 0)
        .codes
        .map(|code| code as u8)
}

fn pack_as<F: SparseFormat>(
    tensor: &Tensor,
    lanes: usize,
    pool: &ThreadPool,
    arena: &mut Arena,
) -> Result<PackedWeight, PackError> {
    let (rows, columns) = (tensor.rows(), tensor.columns());
    let parts = Parts::of(columns, lanes);
    let groups = rows.div_ceil(lanes);
    let mut sizes = vec![0; groups];
    pool.for_each_part(&mut sizes, 1, |group, size| {
        let mut codes = 0;
        for_words::<F>(tensor, group, lanes, |_, mask, _| {
            codes += F::bytes(mask.count_ones());
        });
        size[0] = (parts.masks + parts.heads + codes).next_multiple_of(64);
    });
    let too_large = || PackError::too_large(tensor);
    let mut starts = vec![index_bytes(groups).ok_or_else(too_large)?];
    for size in sizes {
        starts.push(starts[starts.len() - 1] + size);
    }
    let total = starts[groups] + spare(lanes);
    let pack = |bytes: &mut [u8]| {
        for (to, start) in bytes.chunks_exact_mut(8).zip(&starts) {
            to.copy_from_slice(&(*start as u64).to_le_bytes());
        }
        let bytes = DisjointMut::new(bytes);
        pool.run(groups, |group| {
            // SAFETY: each group is packed once, and no two have bytes in common.
            let bytes = unsafe { bytes.part(starts[group]..starts[group + 1]) };
            fill::<F>(tensor, group, lanes, bytes);
        });
    };
    let storage = arena
        .fill(total, pack)
        .map_err(|source| PackError::OutOfMemory {
            name: tensor.name().to_owned(),
            bytes: total,
            source,
        })?;
    tensor.storage().release();
    Ok(PackedWeight {
        name: tensor.name().to_owned(),
        dtype: tensor.dtype(),
        packing: Packing::Stored,
        rows,
        columns,
        lanes,
        layout: Layout::of(tensor.dtype(), columns, lanes).ok_or_else(too_large)?,
        first: 0,
        sparse: true,
        storage,
    })
}

/// Packs one group into its bytes.
fn fill<F: SparseFormat>(tensor: &Tensor, group: usize, lanes: usize, bytes: &mut [u8]) {
    let parts = Parts::of(tensor.columns(), lanes);
    let (masks, rest) = bytes.split_at_mut(parts.masks);
    let (heads, codes) = rest.split_at_mut(parts.heads);
    let (size, mut at) = (lanes / 2, 0);
    for_words::<F>(tensor, group, lanes, |word, mask, values| {
        masks[word * size..][..size].copy_from_slice(&mask.to_le_bytes()[..size]);
        let kept = (0..64).filter(|bit| mask >> bit & 1 == 1);
        for (place, bit) in kept.enumerate() {
            if F::NIBBLES {
                codes[at + place / 2] |= values[bit] << (4 * (place % 2));
            } else {
                codes[at + place] = values[bit];
            }
        }
        at += F::bytes(mask.count_ones());
    });
    for (lane, row) in rows_of(tensor, group, lanes).enumerate() {
        for (index, block) in row.chunks_exact(F::DTYPE.block_bytes()).enumerate() {
            let to = (index * lanes + lane) * 2;
            F::head(block, &mut heads[to..to + 2]);
        }
    }
}

/// The stored rows of a group.
fn rows_of(tensor: &Tensor, group: usize, lanes: usize) -> impl Iterator<Item = &[u8]> {
    let rows = group * lanes..((group + 1) * lanes).min(tensor.rows());
    rows.map(|row| tensor.row(row))
}

/// Calls `each` with the number, the mask and the codes of every word of a group.
fn for_words<F: SparseFormat>(
    tensor: &Tensor,
    group: usize,
    lanes: usize,
    mut each: impl FnMut(usize, u64, &[u8; 64]),
) {
    let size = F::DTYPE.block_bytes();
    for block in 0..tensor.columns() / 32 {
        let mut words = [([F::ZERO; 64], 0_u64); WORDS];
        for (lane, row) in rows_of(tensor, group, lanes).enumerate() {
            let codes = codes_of::<F>(&row[block * size..][..size]);
            for (k, code) in codes.into_iter().enumerate() {
                let (values, mask) = &mut words[k / 4];
                let bit = 4 * lane + k % 4;
                values[bit] = code;
                *mask |= u64::from(code != F::ZERO) << bit;
            }
        }
        for (word, (values, mask)) in words.iter().enumerate() {
            each(block * WORDS + word, *mask, values);
        }
    }
}
