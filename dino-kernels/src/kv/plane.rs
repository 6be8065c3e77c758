//! A plane: the keys or the values of [`PAGE`] positions of one layer and head.
//!
//! Keys are transposed, `[dim][PAGE]`, for scores of many positions at once; values are `[PAGE][dim]`, for sums of many
//! features at once. Both products of attention then run along registers. Three types differ from plain rows:
//!
//! 1. Bf16 keeps two rows together, `[rows / 2][columns][2]`: what one multiplication of pairs takes lies in one word.
//! 2. Q8_0 and Q4_0 share a scale among 32 features of one position. The scales follow the codes, `[dim / 32][PAGE]` for
//!    keys and values alike.
//! 3. Q4_0 keeps 32 columns in 16 bytes, the first half of them in the low nibbles.

use super::{KvType, PAGE};
use half::{bf16, f16};

/// Features that share a scale.
pub(crate) const BLOCK: usize = 32;

/// The elements of a plane, each type as it is stored; kernels read them directly.
#[derive(Clone, Copy)]
pub(crate) enum Plane<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    Bf16(&'a [bf16]),
    Q8_0 { codes: &'a [i8], scales: &'a [f16] },
    Q4_0 { codes: &'a [u8], scales: &'a [f16] },
}

impl<'a> Plane<'a> {
    pub(super) fn new(dtype: KvType, bytes: &'a [u8]) -> Self {
        match dtype {
            KvType::F32 => Self::F32(bytemuck::cast_slice(bytes)),
            KvType::F16 => Self::F16(bytemuck::cast_slice(bytes)),
            KvType::Bf16 => Self::Bf16(bytemuck::cast_slice(bytes)),
            KvType::Q8_0 => {
                let (codes, scales) = bytes.split_at(code_bytes(dtype, bytes.len()));
                Self::Q8_0 {
                    codes: bytemuck::cast_slice(codes),
                    scales: bytemuck::cast_slice(scales),
                }
            }
            KvType::Q4_0 => {
                let (codes, scales) = bytes.split_at(code_bytes(dtype, bytes.len()));
                Self::Q4_0 {
                    codes,
                    scales: bytemuck::cast_slice(scales),
                }
            }
        }
    }

    /// `head_dim` in whole registers, or in whole blocks where there are scales.
    pub(super) fn padded(dtype: KvType, head_dim: usize) -> usize {
        match dtype {
            KvType::F32 | KvType::F16 | KvType::Bf16 => head_dim.next_multiple_of(16),
            KvType::Q8_0 | KvType::Q4_0 => head_dim.next_multiple_of(BLOCK),
        }
    }

    /// Bytes of a plane of `dim` (padded) features.
    pub(super) fn byte_size(dtype: KvType, dim: usize) -> usize {
        let scales = dim / BLOCK * PAGE * size_of::<f16>();
        match dtype {
            KvType::F32 => dim * PAGE * 4,
            KvType::F16 | KvType::Bf16 => dim * PAGE * 2,
            KvType::Q8_0 => dim * PAGE + scales,
            KvType::Q4_0 => dim * PAGE / 2 + scales,
        }
    }

    /// Features of a position, padded.
    pub(crate) fn dim(&self) -> usize {
        match self {
            Self::F32(elements) => elements.len() / PAGE,
            Self::F16(elements) => elements.len() / PAGE,
            Self::Bf16(elements) => elements.len() / PAGE,
            Self::Q8_0 { codes, .. } => codes.len() / PAGE,
            Self::Q4_0 { codes, .. } => 2 * codes.len() / PAGE,
        }
    }

    /// Whether the lengths of its slices fit together; kernels rely on it.
    pub(crate) fn is_whole(&self) -> bool {
        let dim = self.dim();
        let scaled = |codes: usize, scales: usize, bits: usize| {
            dim.is_multiple_of(BLOCK)
                && codes == dim * PAGE * bits / 8
                && scales == dim / BLOCK * PAGE
        };
        match self {
            Self::F32(elements) => elements.len() == dim * PAGE && dim.is_multiple_of(16),
            Self::F16(elements) => elements.len() == dim * PAGE && dim.is_multiple_of(16),
            Self::Bf16(elements) => elements.len() == dim * PAGE && dim.is_multiple_of(16),
            Self::Q8_0 { codes, scales } => scaled(codes.len(), scales.len(), 8),
            Self::Q4_0 { codes, scales } => scaled(codes.len(), scales.len(), 4),
        }
    }

    /// Element `[feature][slot]` of a plane of keys: the definition of every type.
    pub(crate) fn key(&self, feature: usize, slot: usize) -> f32 {
        self.element(feature, slot, PAGE, feature / BLOCK * PAGE + slot)
    }

    /// Element `[slot][feature]` of a plane of values.
    pub(crate) fn value(&self, slot: usize, feature: usize) -> f32 {
        self.element(slot, feature, self.dim(), feature / BLOCK * PAGE + slot)
    }

    fn element(&self, row: usize, column: usize, columns: usize, scale: usize) -> f32 {
        let at = row * columns + column;
        match self {
            Self::F32(elements) => elements[at],
            Self::F16(elements) => elements[at].to_f32(),
            Self::Bf16(elements) => elements[pair_index(row, column, columns)].to_f32(),
            Self::Q8_0 { codes, scales } => f32::from(codes[at]) * scales[scale].to_f32(),
            Self::Q4_0 { codes, scales } => {
                let (byte, shift) = nibble(row, column, columns);
                let code = (codes[byte] >> shift) & 0xf;
                (f32::from(code) - 8.0) * scales[scale].to_f32()
            }
        }
    }

    /// The memory that it lies in, to be fetched ahead.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        match self {
            Self::F32(elements) => bytemuck::cast_slice(elements),
            Self::F16(elements) => bytemuck::cast_slice(elements),
            Self::Bf16(elements) => bytemuck::cast_slice(elements),
            // The scales, a sixteenth of it, follow in the stream.
            Self::Q8_0 { codes, .. } => bytemuck::cast_slice(codes),
            Self::Q4_0 { codes, .. } => codes,
        }
    }
}

/// How many of a plane's bytes are codes: the rest is 2 bytes of scale for every 32 codes.
fn code_bytes(dtype: KvType, bytes: usize) -> usize {
    let codes = if dtype == KvType::Q8_0 {
        BLOCK
    } else {
        BLOCK / 2
    };
    bytes / (codes + 2) * codes
}

/// Where element `[row][column]` lies among rows that are kept in pairs.
pub(super) fn pair_index(row: usize, column: usize, columns: usize) -> usize {
    (row / 2 * columns + column) * 2 + row % 2
}

/// Byte and shift of the nibble `[row][column]`.
pub(super) fn nibble(row: usize, column: usize, columns: usize) -> (usize, usize) {
    let (block, rest) = (column / BLOCK, column % BLOCK);
    let byte = row * columns / 2 + block * (BLOCK / 2) + rest % (BLOCK / 2);
    (byte, rest / (BLOCK / 2) * 4)
}
