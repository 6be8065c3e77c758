//! The stored types, under their GGUF names and numbers.

use crate::CoreError;
use std::fmt;
use std::str::FromStr;

/// A stored number format.
///
/// The names and the numbers are those of GGUF
/// (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>).
#[allow(non_camel_case_types, missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
    MXFP4,
}

/// What the table below says of one type.
struct Facts {
    dtype: DType,
    name: &'static str,
    gguf: u32,
    values: usize,
    bytes: usize,
}

const fn facts(dtype: DType, name: &'static str, gguf: u32, values: usize, bytes: usize) -> Facts {
    Facts {
        dtype,
        name,
        gguf,
        values,
        bytes,
    }
}

/// In the order of the enum, so that `TABLE[dtype as usize]` describes `dtype`.
const TABLE: [Facts; 16] = [
    facts(DType::F32, "F32", 0, 1, 4),
    facts(DType::F16, "F16", 1, 1, 2),
    facts(DType::BF16, "BF16", 30, 1, 2),
    facts(DType::Q4_0, "Q4_0", 2, 32, 18),
    facts(DType::Q4_1, "Q4_1", 3, 32, 20),
    facts(DType::Q5_0, "Q5_0", 6, 32, 22),
    facts(DType::Q5_1, "Q5_1", 7, 32, 24),
    facts(DType::Q8_0, "Q8_0", 8, 32, 34),
    facts(DType::Q2_K, "Q2_K", 10, 256, 84),
    facts(DType::Q3_K, "Q3_K", 11, 256, 110),
    facts(DType::Q4_K, "Q4_K", 12, 256, 144),
    facts(DType::Q5_K, "Q5_K", 13, 256, 176),
    facts(DType::Q6_K, "Q6_K", 14, 256, 210),
    facts(DType::IQ4_NL, "IQ4_NL", 20, 32, 18),
    facts(DType::IQ4_XS, "IQ4_XS", 23, 256, 136),
    facts(DType::MXFP4, "MXFP4", 39, 32, 17),
];

impl DType {
    /// Every type, in the order of the enum.
    pub const ALL: [DType; 16] = {
        let mut all = [DType::F32; 16];
        let mut i = 0;
        while i < 16 {
            assert!(TABLE[i].dtype as usize == i);
            all[i] = TABLE[i].dtype;
            i += 1;
        }
        all
    };

    const fn facts(self) -> &'static Facts {
        &TABLE[self as usize]
    }

    /// The name that GGUF gives it, e.g. `"Q4_K"`.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// The number that GGUF gives it.
    pub const fn gguf_id(self) -> u32 {
        self.facts().gguf
    }

    /// The type with this GGUF number.
    ///
    /// # Errors
    /// [`CoreError::UnknownType`] if no type here has the number.
    pub fn from_gguf_id(id: u32) -> Result<Self, CoreError> {
        Self::ALL
            .into_iter()
            .find(|dtype| dtype.gguf_id() == id)
            .ok_or(CoreError::UnknownType(id))
    }

    /// The type with this name, in either case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|dtype| dtype.name().eq_ignore_ascii_case(name))
    }

    /// Values in a block; 1 for the float types.
    pub const fn block_len(self) -> usize {
        self.facts().values
    }

    /// Bytes in a block.
    pub const fn block_bytes(self) -> usize {
        self.facts().bytes
    }

    /// Bits that a value takes on average, scales included.
    pub fn bits_per_value(self) -> f64 {
        8.0 * self.block_bytes() as f64 / self.block_len() as f64
    }

    /// Whether values are stored in blocks that share a scale.
    pub fn is_quantized(self) -> bool {
        self.block_len() > 1
    }

    /// Bytes of a row of `columns` values; `None` if they are not a whole number of blocks or overflow.
    pub fn row_bytes(self, columns: usize) -> Option<usize> {
        if !columns.is_multiple_of(self.block_len()) {
            return None;
        }
        (columns / self.block_len()).checked_mul(self.block_bytes())
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// As [`DType::from_name`].
impl FromStr for DType {
    type Err = CoreError;

    fn from_str(name: &str) -> Result<Self, CoreError> {
        Self::from_name(name).ok_or_else(|| CoreError::UnknownTypeName { name: name.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for dtype in DType::ALL {
            assert_eq!(DType::from_gguf_id(dtype.gguf_id()).unwrap(), dtype);
            assert_eq!(DType::from_name(&dtype.name().to_lowercase()), Some(dtype));
        }
        let message = "Q9".parse::<DType>().unwrap_err().to_string();
        assert!(message.starts_with("no type is called `Q9`; types are F32, F16, "));
        assert!(matches!(
            DType::from_gguf_id(4),
            Err(CoreError::UnknownType(4))
        ));
    }

    #[test]
    fn a_ragged_or_endless_row_has_no_size() {
        assert_eq!(DType::Q4_0.row_bytes(64), Some(36));
        assert_eq!(DType::Q4_0.row_bytes(33), None);
        assert_eq!(DType::F32.row_bytes(usize::MAX), None);
    }
}
