//! The packed matrix and the views that kernels take of it.

use super::format::{MAX_HEAD, with_format};
use super::sparse::is_sparse;
use super::{Format, PackError, SubBlock};
use dino_core::{DType, Storage};
use half::{bf16, f16};

/// A weight matrix `[rows, columns]`, interleaved for one register width; see the module page.
///
/// Made by [`PackedWeight::pack`]. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct PackedWeight {
    pub(super) name: String,
    pub(super) dtype: DType,
    pub(super) packing: Packing,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) lanes: usize,
    /// Of a dense weight; of a sparse one, what it has with its zeros.
    pub(super) layout: Layout,
    /// The group that the bytes begin with.
    pub(super) first: usize,
    /// Whether zeros were left out; see [`super::sparse`].
    pub(super) sparse: bool,
    pub(super) storage: Storage,
}

/// What the packed bytes of a weight are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packing {
    /// The stored values or blocks, as they are, in another order.
    #[default]
    Stored,
    /// 8-bit codes with one scale a row; see [`PackedWeight::pack_int8`].
    Int8,
    /// The tensor's own rows, interleaved whenever they are used; see [`PackedWeight::unpacked`].
    Unpacked,
}

/// Sizes in bytes of the two parts of a group, padding included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) words: usize,
    pub(super) heads: usize,
}

impl Layout {
    /// The layout of a group of `lanes` rows of `columns` values; `None` if it overflows.
    pub(super) fn of(dtype: DType, columns: usize, lanes: usize) -> Option<Self> {
        let (words, heads) = with_format!(dtype, F => {
            let blocks = columns / F::LEN;
            (blocks.checked_mul(4 * F::WORDS)?, blocks.checked_mul(F::HEAD)?)
        }, _ => (columns.checked_mul(dtype.block_bytes())?, 0));
        Self::lines(words, heads, lanes)
    }

    /// The same of an int8 weight.
    pub(super) fn int8(columns: usize, lanes: usize) -> Option<Self> {
        Self::lines(columns, 8, lanes)
    }

    /// Of so many bytes a row, in whole cache lines.
    fn lines(words: usize, heads: usize, lanes: usize) -> Option<Self> {
        let line = |bytes: usize| bytes.checked_mul(lanes)?.checked_next_multiple_of(64);
        Some(Self {
            words: line(words)?,
            heads: line(heads)?,
        })
    }

    pub(super) fn bytes(self) -> usize {
        self.words + self.heads
    }
}

/// Which order of bytes [`PackedWeight::pack`] gives. It changes with every change of that order, so that bytes kept from
/// an earlier run are not taken for something else.
pub const PACKED_LAYOUT: u32 = 1;

impl PackedWeight {
    /// The weight whose packed bytes `storage` holds: those that packing a tensor of this type and shape for `lanes`
    /// gave once, as that packing is.
    ///
    /// # Errors
    /// [`PackError::TooLarge`] if sizes overflow; [`PackError::NotPacked`] if there are more or fewer bytes, or if they do
    /// not start on a cache line.
    pub fn from_packed(
        name: &str,
        (dtype, packing): (DType, Packing),
        [rows, columns]: [usize; 2],
        lanes: usize,
        storage: Storage,
    ) -> Result<Self, PackError> {
        let layout = match packing {
            Packing::Stored => Layout::of(dtype, columns, lanes),
            Packing::Int8 => Layout::int8(columns, lanes),
            // These are no packed bytes.
            Packing::Unpacked => None,
        };
        let expected = layout.and_then(|layout| rows.div_ceil(lanes).checked_mul(layout.bytes()));
        let (Some(layout), Some(expected)) = (layout, expected) else {
            return Err(PackError::TooLarge {
                name: name.to_owned(),
                shape: vec![rows, columns],
            });
        };
        let sparse = packing == Packing::Stored
            && storage.len() != expected
            && is_sparse(dtype, [rows, columns], lanes, &storage);
        let is_aligned = storage.as_slice().as_ptr().addr().is_multiple_of(64);
        let fits = storage.len() == expected || sparse;
        if !fits || !(is_aligned || expected == 0) {
            return Err(PackError::NotPacked {
                name: name.to_owned(),
                expected,
                found: storage.len(),
            });
        }
        Ok(Self {
            name: name.to_owned(),
            dtype,
            packing,
            rows,
            columns,
            lanes,
            layout,
            first: 0,
            sparse,
            storage,
        })
    }

    /// This weight with the same bytes somewhere else.
    ///
    /// # Errors
    /// As those of [`Self::from_packed`].
    pub fn moved(&self, storage: Storage) -> Result<Self, PackError> {
        let shape = [self.rows, self.columns];
        Self::from_packed(
            &self.name,
            (self.dtype, self.packing),
            shape,
            self.lanes,
            storage,
        )
    }

    /// The packed bytes.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The tensor's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stored type that it was packed from.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// What its bytes are.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input features.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Rows that one register holds.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Groups of [`PackedWeight::lanes`] rows; the last one may be padded with zeros.
    pub fn groups(&self) -> usize {
        self.rows.div_ceil(self.lanes)
    }

    /// Bytes of memory that it takes.
    pub fn byte_size(&self) -> usize {
        self.storage.len()
    }

    pub(super) fn group_bytes(&self, group: usize) -> (&[u8], &[u8]) {
        assert!(
            !self.sparse && !self.is_unpacked(),
            "groups of a dense weight"
        );
        let start = (group - self.first) * self.layout.bytes();
        let bytes = &self.storage.as_slice()[start..start + self.layout.bytes()];
        bytes.split_at(self.layout.words)
    }

    /// Group `group` of a quantized weight.
    ///
    /// # Panics
    /// If there is no such group.
    pub(crate) fn quantized_group(&self, group: usize) -> QuantizedGroup<'_> {
        let (words, heads) = self.group_bytes(group);
        QuantizedGroup {
            words,
            heads,
            columns: self.columns,
            lanes: self.lanes,
        }
    }

    /// Group `group` of a float weight.
    ///
    /// # Panics
    /// If there is no such group.
    pub(crate) fn float_group(&self, group: usize) -> FloatGroup<'_> {
        let (words, _) = self.group_bytes(group);
        let values = self.columns * self.lanes;
        match self.dtype {
            DType::F16 => FloatGroup::F16(&bytemuck::cast_slice(words)[..values]),
            DType::BF16 => FloatGroup::Bf16(&bytemuck::cast_slice(words)[..values]),
            DType::F32 => FloatGroup::F32(&bytemuck::cast_slice(words)[..values]),
            other => unreachable!("{other} is no float type"),
        }
    }

    /// Writes group `group` as f32, `[columns, lanes]`.
    ///
    /// # Panics
    /// If there is no such group or `panel` is of another size.
    pub(crate) fn unpack_group(&self, group: usize, panel: &mut [f32]) {
        assert_eq!(panel.len(), self.columns * self.lanes, "panel of one group");
        if self.sparse {
            return self.filled_in(group).unpack_group(group, panel);
        }
        if self.is_unpacked() {
            return self
                .interleaved(group..group + 1)
                .unpack_group(group, panel);
        }
        with_format!(self.dtype, F => {
            let group = self.quantized_group(group);
            for lane in 0..self.lanes {
                for chunk in 0..self.columns / 32 {
                    let sub = group.decode::<F>(lane, chunk);
                    for k in 0..32 {
                        panel[(32 * chunk + k) * self.lanes + lane] = sub.value(k);
                    }
                }
            }
        }, _ => self.float_group(group).widen(panel));
    }
}

impl PackedWeight {
    /// Writes row `row` as f32, `[columns]`.
    ///
    /// # Panics
    /// If there is no such row or `output` is of another length.
    pub(crate) fn unpack_row(&self, row: usize, output: &mut [f32]) {
        assert!(
            row < self.rows && output.len() == self.columns,
            "one row of the weight"
        );
        let (group, lane) = (row / self.lanes, row % self.lanes);
        if self.sparse {
            return self.filled_in(group).unpack_row(row, output);
        }
        if self.is_unpacked() {
            return self.interleaved(group..group + 1).unpack_row(row, output);
        }
        with_format!(self.dtype, F => {
            let group = self.quantized_group(group);
            for (chunk, output) in output.chunks_exact_mut(32).enumerate() {
                let sub = group.decode::<F>(lane, chunk);
                output.iter_mut().enumerate().for_each(|(k, to)| *to = sub.value(k));
            }
        }, _ => {
            let group = self.float_group(group);
            for (column, to) in output.iter_mut().enumerate() {
                *to = group.at(column * self.lanes + lane);
            }
        });
    }
}

/// One group of a quantized weight: `[blocks][WORDS][lanes]` words, `[blocks][HEAD × lanes]` heads.
#[derive(Clone, Copy)]
pub(crate) struct QuantizedGroup<'a> {
    pub(crate) words: &'a [u8],
    pub(crate) heads: &'a [u8],
    pub(crate) columns: usize,
    pub(crate) lanes: usize,
}

impl QuantizedGroup<'_> {
    /// Values `32 * chunk ..` of row `lane`, gathered from the interleaved bytes.
    pub(crate) fn decode<F: Format>(&self, lane: usize, chunk: usize) -> SubBlock {
        let (block, sub) = (chunk / F::SUBS, chunk % F::SUBS);
        let (mut codes, mut head) = ([0; 192], [0; MAX_HEAD]);
        for word in 0..F::WORDS {
            let from = ((block * F::WORDS + word) * self.lanes + lane) * 4;
            codes[4 * word..4 * word + 4].copy_from_slice(&self.words[from..from + 4]);
        }
        let heads = &self.heads[block * F::HEAD * self.lanes..];
        for half in 0..F::HALVES {
            let from = (half * self.lanes + lane) * 2;
            head[2 * half..2 * half + 2].copy_from_slice(&heads[from..from + 2]);
        }
        for byte in 0..F::BYTES {
            head[2 * F::HALVES + byte] = heads[(2 * F::HALVES + byte) * self.lanes + lane];
        }
        F::decode(&head[..F::HEAD], &codes[..4 * F::WORDS], sub)
    }
}

/// One group of a float weight, `[columns][lanes]`.
#[derive(Clone, Copy)]
pub(crate) enum FloatGroup<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    Bf16(&'a [bf16]),
}

impl FloatGroup<'_> {
    pub(crate) fn len(self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::Bf16(values) => values.len(),
        }
    }

    /// Value `index`, widened.
    pub(crate) fn at(self, index: usize) -> f32 {
        match self {
            Self::F32(values) => values[index],
            Self::F16(values) => values[index].to_f32(),
            Self::Bf16(values) => values[index].to_f32(),
        }
    }

    fn widen(self, panel: &mut [f32]) {
        panel
            .iter_mut()
            .enumerate()
            .for_each(|(index, to)| *to = self.at(index));
    }
}
