//! What kind of file it is, by its first bytes; and what to do with the kinds that are not read here.

use super::FormatError;
use std::path::Path;

/// Refuses a folder, telling what it is.
pub(super) fn folder(path: &Path) -> Result<(), FormatError> {
    if !path.is_dir() {
        return Ok(());
    }
    let (what, advice) = if path.join("config.json").is_file() {
        ("a Hugging Face model folder", FOLDER)
    } else {
        ("a folder", "give the path of a .gguf file in it")
    };
    Err(unsupported(path, what, advice))
}

/// Refuses everything that is not GGUF, telling what it is.
pub(super) fn bytes(path: &Path, bytes: &[u8]) -> Result<(), FormatError> {
    if bytes.starts_with(b"GGUF") {
        return Ok(());
    }
    for &(start, what, advice) in KNOWN {
        if bytes.starts_with(start) {
            return Err(unsupported(path, what, advice));
        }
    }
    if is_safetensors(bytes) {
        return Err(unsupported(path, "a safetensors file", FOLDER));
    }
    Err(FormatError::UnknownFormat {
        file: path.into(),
        found: bytes.iter().copied().take(8).collect(),
    })
}

const CONVERT: &str =
    "convert it with llama.cpp's convert_hf_to_gguf.py, or download a .gguf file of the same model";
const FOLDER: &str =
    "with its config.json, Model::load and Registry::open read the folder it lies in";
const OLD: &str = "convert the original model again with llama.cpp's convert_hf_to_gguf.py";
const AGAIN: &str = "download the model file itself";

/// The start of a file, what it is, and what to do.
type Known = (&'static [u8], &'static str, &'static str);

const KNOWN: &[Known] = &[
    (b"PK\x03\x04", "a PyTorch checkpoint", CONVERT),
    (b"\x80\x02", "a PyTorch checkpoint", CONVERT),
    (b"lmgg", "a file of the old ggml format", OLD),
    (b"fmgg", "a file of the old ggmf format", OLD),
    (b"tjgg", "a file of the old ggjt format", OLD),
    (b"algg", "a LoRA adapter of the old ggla format", OLD),
    (
        b"version https://git-lfs",
        "a git-lfs pointer",
        "fetch the model with `git lfs pull`",
    ),
    (b"<!DOCTYPE", "a web page", AGAIN),
    (b"<!doctype", "a web page", AGAIN),
    (b"<html", "a web page", AGAIN),
];

/// Safetensors starts with the length of a JSON object (8 bytes, little endian), then the object.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return false;
    };
    u64::from_le_bytes(*length) <= rest.len() as u64 && rest.starts_with(b"{")
}

fn unsupported(path: &Path, what: &'static str, advice: &'static str) -> FormatError {
    FormatError::Unsupported {
        file: path.into(),
        what,
        advice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_are_named() {
        let told = |start: &[u8]| bytes(Path::new("m"), start).unwrap_err().to_string();
        assert!(told(b"PK\x03\x04....").contains("PyTorch"));
        assert!(told(b"\x02\0\0\0\0\0\0\0{}").contains("safetensors"));
        assert!(told(b"tjgg\x03\0\0\0").contains("ggjt"));
        assert!(told(b"<!DOCTYPE html>").contains("web page"));
        assert!(told(b"version https://git-lfs.github.com/spec/v1").contains("git lfs pull"));
        assert!(told(b"").contains("not a model file"));
        assert!(told(b"\x03\0\0\0\0\0\0\0{}").contains("not a model file"));
        assert!(bytes(Path::new("m"), b"GGUF").is_ok());
    }

    #[test]
    fn folders_are_named() {
        let empty = tempfile::tempdir().unwrap();
        let told = || folder(empty.path()).unwrap_err().to_string();
        assert!(told().contains(".gguf"));
        std::fs::write(empty.path().join("config.json"), "{}").unwrap();
        assert!(told().contains("Hugging Face"));
        assert!(folder(&empty.path().join("config.json")).is_ok());
    }
}
