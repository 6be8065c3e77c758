//! What a file says of itself, for the file that is made of it.

use std::io;
use std::path::Path;

use dino_models::format::{Array, FormatError, Metadata, ModelFile, Value};

use super::QuantizeError;

/// Makes sure that `output` is a place for a file, and none that belongs to `file`, however it is spelled.
pub(super) fn check_output(file: &ModelFile, output: &Path) -> Result<(), QuantizeError> {
    let Ok(there) = output.canonicalize() else {
        return Ok(());
    };
    if !there.is_file() {
        // Renaming onto a device such as /dev/null would replace it.
        let source = io::Error::new(io::ErrorKind::InvalidInput, "it is there and is no file");
        let file = output.into();
        return Err(FormatError::Write { file, source }.into());
    }
    let is_there = |path: &Path| path.canonicalize().is_ok_and(|path| path == there);
    let is_read = is_there(&file.path) || file.weights.files().into_iter().any(is_there);
    if is_read || lies_in_folder(file, output) {
        let file = output.into();
        return Err(QuantizeError::SameFile { file });
    }
    Ok(())
}

/// Whether `output` is one of the configurations and indices of a folder: what is no GGUF file there was downloaded.
fn lies_in_folder(file: &ModelFile, output: &Path) -> bool {
    let folder = output
        .parent()
        .and_then(|parent| parent.canonicalize().ok());
    let is_gguf = output.extension().is_some_and(|name| name == "gguf");
    file.path.is_dir() && !is_gguf && folder == file.path.canonicalize().ok()
}

/// Makes sure that the result of a folder holds a tokenizer: nobody looks for one beside a GGUF file.
pub(super) fn check_tokenizer(file: &ModelFile) -> Result<(), QuantizeError> {
    if file.path.is_dir() && !file.metadata.contains("tokenizer.ggml.tokens") {
        let folder = file.path.clone();
        return Err(QuantizeError::NoTokenizer { folder });
    }
    Ok(())
}

/// All keys but those of a split, which the result is not. What a folder's JSON gave is as wide as GGUF has it: other
/// programs ask for numbers of 32 bits.
pub(super) fn metadata(file: &ModelFile) -> Metadata {
    let mut copy = Metadata::new(file.metadata.file());
    let is_json = file.path.is_dir();
    for (key, value) in file.metadata.iter() {
        if key.starts_with("split.") {
            continue;
        }
        let narrowed = if is_json { narrow(value) } else { None };
        copy.insert(key, narrowed.unwrap_or_else(|| value.clone()));
    }
    copy
}

/// `value` in 32 bits a number; `None` if it is something else or does not fit.
fn narrow(value: &Value) -> Option<Value> {
    Some(match value {
        Value::U64(x) => u32::try_from(*x).ok()?.into(),
        Value::I64(x) => i32::try_from(*x).ok()?.into(),
        Value::F64(x) => (*x as f32).into(),
        Value::Array(Array::Scalars(array)) => {
            let values: Vec<Value> = array.iter().map(|x| narrow(&x)).collect::<Option<_>>()?;
            let of = |value: &Value| match value {
                Value::I32(x) => Some(*x),
                _ => None,
            };
            if let Some(integers) = values.iter().map(of).collect::<Option<Vec<i32>>>() {
                return Some(integers.into());
            }
            let of = |value: &Value| match value {
                Value::F32(x) => Some(*x),
                _ => None,
            };
            values.iter().map(of).collect::<Option<Vec<f32>>>()?.into()
        }
        _ => return None,
    })
}
