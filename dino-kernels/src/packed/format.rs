//! What the packer and the kernels need to know of a quantized format.

use dino_core::DType;
use std::ops::Range;

/// A quantized format, described for interleaving.
///
/// A block is a run of [`DType::block_len`] values of one row. Kernels see it as sub-blocks of 32 values:
/// value `k` is `scale[k / 16] * code[k] + min[k / 16]`, where an offset that the format subtracts from
/// its codes is already in `min`.
pub(crate) trait Format: 'static {
    /// The stored type.
    const DTYPE: DType;
    /// Which bytes of a stored block hold the codes; whole words.
    const CODES: Range<usize>;
    /// f16 numbers in a head.
    const HALVES: usize;
    /// One-byte numbers in a head.
    const BYTES: usize;
    /// Whether the two halves of a sub-block have scales of their own.
    const SPLIT: bool;
    /// Whether codes are signed; then there is no minimum.
    const SIGNED: bool;
    /// What the format takes off its unsigned codes, a power of two; 0 if it has a minimum instead, or signed codes.
    const OFFSET: i32;
    /// The largest magnitude of a code.
    const MAX_CODE: i32;

    /// Words of codes in a block.
    const WORDS: usize = (Self::CODES.end - Self::CODES.start) / 4;
    /// Bytes of a head.
    const HEAD: usize = 2 * Self::HALVES + Self::BYTES;
    /// Sub-blocks in a block.
    const SUBS: usize = Self::LEN / 32;
    /// Values in a block.
    const LEN: usize;

    /// Writes the head of a stored block: its f16 numbers, then its one-byte numbers.
    fn head(block: &[u8], head: &mut [u8]);

    /// The meaning of sub-block `sub`, given one row's head and its words of codes.
    fn decode(head: &[u8], codes: &[u8], sub: usize) -> SubBlock;
}

/// Bytes of the largest head: two f16 numbers and 16 bytes.
pub(super) const MAX_HEAD: usize = 20;

/// 32 values of one row.
pub(crate) struct SubBlock {
    /// The codes, before scale and minimum.
    pub(crate) codes: [i8; 32],
    /// Scale of each half.
    pub(crate) scales: [f32; 2],
    /// Minimum of each half, the code's offset included.
    pub(crate) mins: [f32; 2],
}

impl SubBlock {
    /// Value `k` in 0…31.
    pub(crate) fn value(&self, k: usize) -> f32 {
        self.scales[k / 16] * f32::from(self.codes[k]) + self.mins[k / 16]
    }
}

/// Calls a generic function with the [`Format`] of a dtype: `with_format!(dtype, F => body::<F>())`.
///
/// The last arm takes the types that are no quantized format.
macro_rules! with_format {
    ($dtype:expr, $format:ident => $body:expr, _ => $otherwise:expr) => {{
        use dino_core::DType;
        macro_rules! with {
            ($chosen:ident) => {{
                type $format = $crate::packed::$chosen;
                $body
            }};
        }
        #[allow(unreachable_patterns)]
        match $dtype {
            DType::Q4_0 => with!(Q4_0),
            DType::Q4_1 => with!(Q4_1),
            DType::Q5_0 => with!(Q5_0),
            DType::Q5_1 => with!(Q5_1),
            DType::Q8_0 => with!(Q8_0),
            DType::Q2_K => with!(Q2K),
            DType::Q3_K => with!(Q3K),
            DType::Q4_K => with!(Q4K),
            DType::Q5_K => with!(Q5K),
            DType::Q6_K => with!(Q6K),
            DType::IQ4_NL => with!(Iq4Nl),
            DType::IQ4_XS => with!(Iq4Xs),
            DType::MXFP4 => with!(Mxfp4),
            _ => $otherwise,
        }
    }};
}
pub(crate) use with_format;

/// Which bytes of a block of `dtype` hold codes; for tests that fill them.
#[cfg(test)]
pub(crate) fn codes_of(dtype: DType) -> Range<usize> {
    with_format!(dtype, F => F::CODES, _ => 0..0)
}
