//! Writes GGUF version 3, streaming the tensors, so that a reader never sees half a file.

use super::DEFAULT_ALIGNMENT;
use crate::beside::FileBeside;
use crate::format::{Array, FormatError, Metadata, TensorInfo, Value};
use dino_core::Tensor;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file being written: first the header, then tensor after tensor, then [`Writer::finish`].
///
/// The bytes go to a neighbour of the file, which takes its place when it is complete and on the disk; dropping an
/// unfinished writer removes it.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: FileBeside,
    alignment: usize,
    /// Names and sizes of the tensors that are to come, last first.
    pending: Vec<(String, usize)>,
}

impl Writer {
    /// Starts the file `path` with `metadata` and the descriptions of `tensors`, whose bytes must follow in that order.
    ///
    /// # Errors
    /// If a tensor has no whole number of blocks, `general.alignment` is no power of two, or the disk fails.
    pub fn create(
        path: impl Into<PathBuf>,
        metadata: &Metadata,
        tensors: &[TensorInfo],
    ) -> Result<Self, FormatError> {
        let path = path.into();
        let alignment = metadata.maybe("general.alignment")?;
        let alignment: usize = alignment.unwrap_or(DEFAULT_ALIGNMENT);
        if !alignment.is_power_of_two() {
            return Err(FormatError::BadAlignment {
                file: path,
                found: alignment,
            });
        }
        let mut pending = sizes(&path, tensors)?;
        let header = header(metadata, tensors, &pending, alignment);
        pending.reverse();
        let file = FileBeside::create(&path).map_err(|source| write_error(&path, source))?;
        let mut writer = Self {
            path,
            file,
            alignment,
            pending,
        };
        writer.write(&header)?;
        Ok(writer)
    }

    /// Writes the bytes of the next tensor.
    ///
    /// # Errors
    /// [`FormatError::WriteMismatch`] if they are not as many as its description says; [`FormatError::Write`] if the
    /// disk fails.
    pub fn tensor(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        let (name, size) = self.pending.pop().unwrap_or(("the end".into(), 0));
        if size != bytes.len() {
            return Err(self.mismatch(name, size, bytes.len()));
        }
        self.write(bytes)?;
        self.write(&vec![0; padding(size, self.alignment)])
    }

    /// Puts the complete file in its place.
    ///
    /// # Errors
    /// [`FormatError::WriteMismatch`] if a tensor was not written; [`FormatError::Write`] if the disk fails.
    pub fn finish(mut self) -> Result<(), FormatError> {
        if let Some((name, size)) = self.pending.pop() {
            return Err(self.mismatch(name, size, 0));
        }
        let Self { path, file, .. } = self;
        file.commit().map_err(|source| write_error(&path, source))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        let written = self.file.write_all(bytes);
        written.map_err(|source| write_error(&self.path, source))
    }

    fn mismatch(&self, writing: String, expected: usize, found: usize) -> FormatError {
        FormatError::WriteMismatch {
            file: self.path.clone(),
            writing,
            expected,
            found,
        }
    }
}

fn write_error(file: &Path, source: io::Error) -> FormatError {
    let file = file.into();
    FormatError::Write { file, source }
}

/// Names and sizes of the tensors.
fn sizes(path: &Path, tensors: &[TensorInfo]) -> Result<Vec<(String, usize)>, FormatError> {
    let size = |tensor: &TensorInfo| {
        let size = Tensor::byte_size(&tensor.name, tensor.dtype, &tensor.shape)?;
        Ok((tensor.name.clone(), size))
    };
    let sizes: Result<_, dino_core::CoreError> = tensors.iter().map(size).collect();
    sizes.map_err(|source| FormatError::Tensor {
        file: path.into(),
        source,
    })
}

/// Everything before the data section.
fn header(
    metadata: &Metadata,
    tensors: &[TensorInfo],
    sizes: &[(String, usize)],
    alignment: usize,
) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    put_length(&mut out, tensors.len());
    put_length(&mut out, metadata.len());
    for (key, value) in metadata.iter() {
        put_string(&mut out, key.as_bytes());
        out.extend((value.kind() as u32).to_le_bytes());
        put_value(&mut out, value);
    }
    let mut offset = 0;
    for (tensor, (_, size)) in tensors.iter().zip(sizes) {
        put_string(&mut out, tensor.name.as_bytes());
        out.extend((tensor.shape.len() as u32).to_le_bytes());
        for &dimension in tensor.shape.iter().rev() {
            put_length(&mut out, dimension);
        }
        out.extend(tensor.dtype.gguf_id().to_le_bytes());
        put_length(&mut out, offset);
        offset += size + padding(*size, alignment);
    }
    out.resize(out.len() + padding(out.len(), alignment), 0);
    out
}

/// Bytes from `length` to the next multiple of `alignment`, a power of two.
fn padding(length: usize, alignment: usize) -> usize {
    length.wrapping_neg() & (alignment - 1)
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend((length as u64).to_le_bytes());
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend(bytes);
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(x) => out.extend(x.to_le_bytes()),
        Value::I8(x) => out.extend(x.to_le_bytes()),
        Value::U16(x) => out.extend(x.to_le_bytes()),
        Value::I16(x) => out.extend(x.to_le_bytes()),
        Value::U32(x) => out.extend(x.to_le_bytes()),
        Value::I32(x) => out.extend(x.to_le_bytes()),
        Value::U64(x) => out.extend(x.to_le_bytes()),
        Value::I64(x) => out.extend(x.to_le_bytes()),
        Value::F32(x) => out.extend(x.to_le_bytes()),
        Value::F64(x) => out.extend(x.to_le_bytes()),
        Value::Bool(x) => out.push((*x).into()),
        Value::String(bytes) => put_string(out, bytes),
        Value::Array(array) => put_array(out, array),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    out.extend((array.element() as u32).to_le_bytes());
    put_length(out, array.len());
    match array {
        Array::Scalars(array) => out.extend(array.bytes()),
        Array::Strings(array) => out.extend(array.bytes()),
        Array::Arrays(arrays) => arrays.iter().for_each(|array| put_array(out, array)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{ModelFile, StringArray};
    use dino_core::DType;

    fn info(name: &str, dtype: DType, shape: &[usize]) -> TensorInfo {
        TensorInfo {
            name: name.into(),
            dtype,
            shape: shape.to_vec(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        let nested = vec![
            Array::Strings(["x"].iter().collect()),
            Array::Arrays(Vec::new()),
        ];
        let metadata = Metadata::new("m")
            .with("general.alignment", 64_u32)
            .with("text", "größe")
            .with("words", ["a", "", "bc"])
            .with("numbers", [1.5_f32, -2.0])
            .with("bools", [true, false])
            .with("wide", -5_i64)
            .with("nested", Value::Array(Array::Arrays(nested)));
        let infos = [
            info("a", DType::F32, &[2, 3]),
            info("b", DType::Q8_0, &[32]),
        ];
        let (a, b): (Vec<u8>, Vec<u8>) = ((0..24).collect(), (100..134).collect());
        let mut writer = Writer::create(&path, &metadata, &infos).unwrap();
        writer.tensor(&a).unwrap();
        assert!(!path.exists());
        writer.tensor(&b).unwrap();
        writer.finish().unwrap();

        let file = ModelFile::open(&path).unwrap();
        let shown = |metadata: &Metadata| -> Vec<String> {
            let entries = metadata.iter();
            entries
                .map(|(key, value)| format!("{key}: {value}"))
                .collect()
        };
        assert_eq!(shown(&file.metadata), shown(&metadata));
        let words: &StringArray = file.metadata.get("words").unwrap();
        assert!(words.iter().eq([&b"a"[..], b"", b"bc"]));
        let weights = &file.weights;
        assert_eq!(
            weights.expect("a", &[2, 3]).unwrap().storage().as_slice(),
            a
        );
        let tensor = weights.expect("b", &[32]).unwrap();
        assert_eq!(
            (tensor.dtype(), tensor.storage().as_slice()),
            (DType::Q8_0, &b[..])
        );
        let vocabulary = ModelFile::open_vocabulary(&path).unwrap();
        assert_eq!(
            (vocabulary.metadata.len(), vocabulary.weights.len()),
            (7, 0)
        );
    }

    #[test]
    fn an_unfinished_file_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        let create = || {
            let infos = [info("a", DType::F32, &[2])];
            Writer::create(&path, &Metadata::new("m"), &infos).unwrap()
        };
        let mismatch = |result| matches!(result, Err(FormatError::WriteMismatch { .. }));
        assert!(mismatch(create().tensor(&[0; 9])));
        assert!(mismatch(create().finish()));
        let mut writer = create();
        writer.tensor(&[0; 8]).unwrap();
        assert!(mismatch(writer.tensor(&[0; 8])));
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
