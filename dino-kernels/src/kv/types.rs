//! What keys and values can be stored as.

use crate::KernelError;
use std::fmt;
use std::str::FromStr;

/// How keys or values are stored.
///
/// Names are those of llama.cpp's `--cache-type-k`: `f32`, `f16`, `bf16`, `q8_0`, `q4_0`. `docs/numerics.md` says what
/// each costs in quality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KvType {
    /// Single precision, for comparisons.
    F32,
    /// Half precision: the usual choice, safe for small models.
    #[default]
    F16,
    /// The upper half of single precision. Queries and weights are rounded alike where the processor multiplies bf16.
    Bf16,
    /// 8 bits, 32 values to a scale: half the memory of f16.
    Q8_0,
    /// 4 bits, 32 values to a scale, of vectors that were rotated first (QuaRot, arXiv:2404.00456): a quarter of the memory.
    Q4_0,
}

impl KvType {
    /// Every type, the most precise first.
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::Bf16, Self::Q8_0, Self::Q4_0];

    /// The name, e.g. `"q8_0"`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }

    /// Whether keys are stored as what they differ by from the first one of their page.
    ///
    /// Some models add the same large numbers to all keys. What all keys of a page have in common cancels out of the
    /// softmax, but coarsens what is rounded together with it (as SageAttention notes, arXiv:2410.02367).
    pub(crate) fn is_centered(self) -> bool {
        !matches!(self, Self::F32 | Self::F16)
    }

    /// Whether vectors are rotated before they are stored.
    pub(crate) fn is_rotated(self) -> bool {
        self == Self::Q4_0
    }
}

impl fmt::Display for KvType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KvType {
    type Err = KernelError;

    fn from_str(name: &str) -> Result<Self, KernelError> {
        let found = Self::ALL.into_iter().find(|known| known.name() == name);
        found.ok_or_else(|| KernelError::UnknownKvType { name: name.into() })
    }
}

/// The types of keys and of values; one type stands for both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KvTypes {
    /// Of keys.
    pub keys: KvType,
    /// Of values.
    pub values: KvType,
}

impl From<KvType> for KvTypes {
    fn from(both: KvType) -> Self {
        Self {
            keys: both,
            values: both,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_refused() {
        for dtype in KvType::ALL {
            assert_eq!(dtype.name().parse::<KvType>().unwrap(), dtype);
        }
        let error = "q5_1".parse::<KvType>().unwrap_err().to_string();
        assert!(error.contains("q5_1") && error.contains("q8_0"), "{error}");
    }
}
