//! Int8 modes as users name them.

use std::path::Path;

use dino_models::Int8;
use dino_models::format::ModelFile;

use super::QuantizeError;

/// Reads the int8 mode that a file holds: one with a model, or one with the mode alone.
///
/// # Errors
/// [`QuantizeError::Format`] if the file cannot be read; [`QuantizeError::Model`] if what it says is no such mode;
/// [`QuantizeError::NoInt8`] if it says nothing.
pub fn read_int8(path: impl AsRef<Path>) -> Result<Int8, QuantizeError> {
    let path = path.as_ref();
    let file = ModelFile::open(path)?;
    let stored = Int8::stored(&file.metadata).map_err(crate::Error::from)?;
    stored.ok_or_else(|| QuantizeError::NoInt8 { file: path.into() })
}

/// The mode called `text`: `dynamic`, `asymmetric` (dynamic with a zero point for each token), or the file that holds one.
///
/// # Errors
/// As those of [`read_int8`].
pub fn int8_mode(text: &str) -> Result<Int8, QuantizeError> {
    match text {
        "dynamic" => Ok(Int8::dynamic(true)),
        "asymmetric" => Ok(Int8::dynamic(false)),
        path => read_int8(path),
    }
}
