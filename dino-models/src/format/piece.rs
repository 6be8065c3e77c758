//! What a derived tensor is made of.

use super::FormatError;
use dino_core::{DType, Storage, Tensor};
use std::path::Path;

/// A tensor of the file, or one that it stores in two.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// As it is stored.
    Stored(Tensor),
    /// MXFP4 as `transformers` stores it.
    Microscaled(Microscaled),
}

/// An MXFP4 tensor whose blocks and scales are two tensors of bytes, of a block two neighbours to a byte.
#[derive(Clone, Debug)]
pub(crate) struct Microscaled {
    name: String,
    /// `[…, columns]`.
    shape: Vec<usize>,
    /// `[…, columns / 32, 16]`.
    blocks: Storage,
    /// `[…, columns / 32]`.
    scales: Storage,
}

/// A tensor of bytes.
#[derive(Clone, Debug)]
pub(crate) struct Bytes {
    pub(crate) shape: Vec<usize>,
    pub(crate) storage: Storage,
}

/// Values of a block.
const BLOCK: usize = 32;

impl Microscaled {
    /// The tensor `name` of `blocks` and `scales`.
    ///
    /// # Errors
    /// [`FormatError::Unfit`] if they do not go together.
    pub(crate) fn new(
        file: &Path,
        name: &str,
        blocks: &Bytes,
        scales: &Bytes,
    ) -> Result<Self, FormatError> {
        let groups = blocks.shape.strip_suffix(&[BLOCK / 2]);
        let groups = groups.filter(|groups| *groups == scales.shape);
        let shape = groups.and_then(|groups| {
            let (last, outer) = groups.split_last()?;
            Some([outer, &[last.checked_mul(BLOCK)?]].concat())
        });
        let shape = shape.ok_or_else(|| FormatError::Unfit {
            file: file.into(),
            tensor: format!("{name}_blocks"),
            found: format!("{:?}", blocks.shape),
            expected: format!("16 bytes for each of {name}_scales {:?}", scales.shape),
        })?;
        Ok(Self {
            name: name.into(),
            shape,
            blocks: blocks.storage.clone(),
            scales: scales.storage.clone(),
        })
    }

    /// Blocks as GGUF has them: the scale, and value `i` beside value `16 + i` in a byte.
    fn bytes(&self) -> Vec<u8> {
        let (blocks, scales) = (self.blocks.as_slice(), self.scales.as_slice());
        let mut bytes = Vec::with_capacity(blocks.len() + scales.len());
        for (block, scale) in blocks.chunks_exact(BLOCK / 2).zip(scales) {
            let value = |i: usize| block[i / 2] >> (4 * (i % 2)) & 0xF;
            bytes.push(*scale);
            bytes.extend((0..BLOCK / 2).map(|i| value(i) | value(i + BLOCK / 2) << 4));
        }
        bytes
    }
}

impl Piece {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Stored(tensor) => tensor.name(),
            Self::Microscaled(pair) => &pair.name,
        }
    }

    pub(crate) fn dtype(&self) -> DType {
        match self {
            Self::Stored(tensor) => tensor.dtype(),
            Self::Microscaled(_) => DType::MXFP4,
        }
    }

    pub(crate) fn shape(&self) -> &[usize] {
        match self {
            Self::Stored(tensor) => tensor.shape(),
            Self::Microscaled(pair) => &pair.shape,
        }
    }

    /// Its bytes as those of its type; shared where they are stored so.
    pub(super) fn bytes(&self) -> Storage {
        match self {
            Self::Stored(tensor) => tensor.storage().clone(),
            Self::Microscaled(pair) => Storage::from_vec(pair.bytes()),
        }
    }

    /// What of the file it is made of.
    pub(super) fn storages(&self) -> impl Iterator<Item = &Storage> {
        let storages = match self {
            Self::Stored(tensor) => [Some(tensor.storage()), None],
            Self::Microscaled(pair) => [Some(&pair.blocks), Some(&pair.scales)],
        };
        storages.into_iter().flatten()
    }

    /// Gives the pages of the file back.
    pub(super) fn release(&self) {
        self.storages().for_each(Storage::release);
    }
}

impl From<Tensor> for Piece {
    fn from(tensor: Tensor) -> Self {
        Self::Stored(tensor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(shape: &[usize]) -> Bytes {
        let len = shape.iter().product::<usize>();
        let bytes = (0..len).map(|i| (7 * i + 3) as u8).collect();
        Bytes {
            shape: shape.to_vec(),
            storage: Storage::from_vec(bytes),
        }
    }

    #[test]
    fn neighbours_are_put_where_gguf_has_them() {
        let (blocks, scales) = (bytes(&[2, 1, 16]), bytes(&[2, 1]));
        let pair = Microscaled::new(Path::new("f"), "t", &blocks, &scales).unwrap();
        let piece = Piece::Microscaled(pair);
        assert_eq!((piece.shape(), piece.dtype()), (&[2, 32][..], DType::MXFP4));
        let made = piece.bytes();
        let mut found = vec![0.0; 64];
        dino_core::blocks::dequantize(DType::MXFP4, made.as_slice(), &mut found);
        // The formula of the specification, on the bytes as they are stored.
        let table = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
        for (i, found) in found.into_iter().enumerate() {
            let nibble = blocks.storage.as_slice()[i / 2] >> (4 * (i % 2)) & 0xF;
            let sign = if nibble < 8 { 1.0 } else { -1.0 };
            let exponent = i32::from(scales.storage.as_slice()[i / 32]) - 127;
            let expected = sign * table[usize::from(nibble % 8)] * 2_f32.powi(exponent);
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn blocks_without_their_scales_are_refused() {
        let new = |blocks: &[usize], scales: &[usize]| {
            Microscaled::new(Path::new("f"), "t", &bytes(blocks), &bytes(scales))
        };
        assert!(new(&[2, 3, 16], &[2, 3]).is_ok());
        for (blocks, scales) in [
            (&[2, 3, 16][..], &[2, 2][..]),
            (&[2, 3, 8], &[2, 3]),
            (&[16], &[]),
            (&[], &[]),
        ] {
            let error = new(blocks, scales).unwrap_err().to_string();
            assert!(error.contains("t_blocks"), "{error}");
        }
    }
}
