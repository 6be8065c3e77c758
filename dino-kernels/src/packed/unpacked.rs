//! Weights that stay as the file has them.
//!
//! Packing reads and writes a whole model before its first token, and the packed bytes are memory of this process. A weight
//! that is not packed costs nothing to load: its rows are those of the mapped file, which all processes share, and each group of
//! them is interleaved into a small buffer whenever it is used. What kernels see is the same, so results are the same bits; a
//! token takes several times as long, a prompt little longer, since a group that was interleaved serves all its rows.

use super::pack::pack_rows;
use super::weight::{Layout, Packing};
use super::{PackError, PackedWeight};
use dino_core::storage::AlignedBytes;
use dino_core::{Storage, Tensor};
use std::ops::Range;

impl PackedWeight {
    /// `tensor`, a matrix `[rows, columns]`, for registers of `lanes` rows, without a copy of its bytes.
    ///
    /// # Errors
    /// [`PackError::TooLarge`] if sizes overflow.
    pub fn unpacked(tensor: &Tensor, lanes: usize) -> Result<Self, PackError> {
        let (dtype, rows, columns) = (tensor.dtype(), tensor.rows(), tensor.columns());
        let layout = Layout::of(dtype, columns, lanes);
        Ok(Self {
            name: tensor.name().to_owned(),
            dtype,
            packing: Packing::Unpacked,
            rows,
            columns,
            lanes,
            layout: layout.ok_or_else(|| PackError::too_large(tensor))?,
            first: 0,
            sparse: false,
            storage: tensor.storage().clone(),
        })
    }

    /// Whether its bytes are the tensor's own; see [`Self::unpacked`].
    pub fn is_unpacked(&self) -> bool {
        self.packing == Packing::Unpacked
    }

    /// Some groups of an unpacked weight as those of a packed one, with the numbers that they have here.
    pub(crate) fn interleaved(&self, groups: Range<usize>) -> Self {
        let row_bytes = self.storage.len() / self.rows.max(1);
        let first = groups.start * self.lanes;
        let end = (groups.end * self.lanes).min(self.rows);
        let rows = &self.storage.as_slice()[first * row_bytes..end * row_bytes];
        let mut bytes = AlignedBytes::zeroed(groups.len() * self.layout.bytes());
        pack_rows(
            self.dtype,
            rows,
            (row_bytes, self.lanes),
            self.layout,
            bytes.as_mut_slice(),
        );
        Self {
            packing: Packing::Stored,
            first: groups.start,
            storage: Storage::from_aligned(bytes),
            ..self.clone()
        }
    }
}
