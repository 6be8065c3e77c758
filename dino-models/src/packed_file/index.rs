//! The list of weights in a packed file.

use serde::{Deserialize, Serialize};

/// Where one weight lies, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Its GGUF type number.
    pub(super) dtype: u32,
    /// Whether it is an int8 weight.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) int8: bool,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// From the start of the file; a whole number of pages.
    pub(super) start: usize,
    pub(super) len: usize,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub(super) sum: String,
}

/// Hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
