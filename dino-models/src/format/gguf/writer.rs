//! Writes GGUF version 3, streaming the tensors, so that a reader never sees half a file.

use super::DEFAULT_ALIGNMENT;
use crate::beside::FileBeside;
use crate::format::{Array, FormatError, Metadata, TensorInfo, Value};
use dino_core::{SparseTensor, Tensor};
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
    /// The tensors, and how many of them are written.
    tensors: Vec<Described>,
    written: usize,
    /// Where their descriptions begin.
    descriptions: usize,
}

/// A tensor as the header describes it.
#[derive(Debug)]
struct Described {
    info: TensorInfo,
    /// Bytes that it takes.
    size: usize,
    /// Whether its zeros are left out.
    is_sparse: bool,
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
        let tensors = described(&path, tensors)?;
        let mut header = header(metadata, tensors.len());
        let start = header.len();
        header.extend(descriptions(&tensors, alignment));
        header.resize(header.len() + padding(header.len(), alignment), 0);
        let file = FileBeside::create(&path).map_err(|source| write_error(&path, source))?;
        let mut writer = Self {
            path,
            file,
            alignment,
            tensors,
            written: 0,
            descriptions: start,
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
        let (name, size) = self.next();
        if size != bytes.len() {
            return Err(self.mismatch(name, size, bytes.len()));
        }
        self.put(bytes)
    }

    /// Writes the next tensor without its zeros. Other programs refuse the file then.
    ///
    /// # Errors
    /// [`FormatError::WriteMismatch`] if it is not the one that is described; [`FormatError::Write`] if the disk fails.
    pub fn sparse_tensor(&mut self, tensor: &SparseTensor) -> Result<(), FormatError> {
        let (name, size) = self.next();
        let next = self.tensors.get_mut(self.written);
        let next = next
            .filter(|next| next.info.dtype == tensor.dtype() && next.info.shape == tensor.shape());
        let Some(next) = next else {
            return Err(self.mismatch(name, size, tensor.storage().len()));
        };
        next.size = tensor.storage().len();
        next.is_sparse = true;
        self.put(tensor.storage().as_slice())
    }

    /// Name and size of the tensor that comes next.
    fn next(&self) -> (String, usize) {
        let next = self.tensors.get(self.written);
        next.map_or(("the end".into(), 0), |next| {
            (next.info.name.clone(), next.size)
        })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        self.written += 1;
        self.write(bytes)?;
        self.write(&vec![0; padding(bytes.len(), self.alignment)])
    }

    /// Puts the complete file in its place.
    ///
    /// # Errors
    /// [`FormatError::WriteMismatch`] if a tensor was not written; [`FormatError::Write`] if the disk fails.
    pub fn finish(mut self) -> Result<(), FormatError> {
        if self.written < self.tensors.len() {
            let (name, size) = self.next();
            return Err(self.mismatch(name, size, 0));
        }
        // How large a tensor is without its zeros, and so where the next one begins, is known only now.
        if self.tensors.iter().any(|tensor| tensor.is_sparse) {
            let descriptions = descriptions(&self.tensors, self.alignment);
            let start = self.descriptions as u64;
            let rewritten = self.file.rewrite(start, &descriptions);
            rewritten.map_err(|source| write_error(&self.path, source))?;
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

/// The tensors as they are described before they are written.
fn described(path: &Path, tensors: &[TensorInfo]) -> Result<Vec<Described>, FormatError> {
    let describe = |info: &TensorInfo| {
        let size = Tensor::byte_size(&info.name, info.dtype, &info.shape)?;
        Ok(Described {
            info: info.clone(),
            size,
            is_sparse: false,
        })
    };
    let described: Result<_, dino_core::CoreError> = tensors.iter().map(describe).collect();
    described.map_err(|source| FormatError::Tensor {
        file: path.into(),
        source,
    })
}

/// Everything before the descriptions of the tensors.
fn header(metadata: &Metadata, tensors: usize) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    put_length(&mut out, tensors);
    put_length(&mut out, metadata.len());
    for (key, value) in metadata.iter() {
        put_string(&mut out, key.as_bytes());
        out.extend((value.kind() as u32).to_le_bytes());
        put_value(&mut out, value);
    }
    out
}

fn descriptions(tensors: &[Described], alignment: usize) -> Vec<u8> {
    let (mut out, mut offset) = (Vec::new(), 0);
    for Described {
        info,
        size,
        is_sparse,
    } in tensors
    {
        put_string(&mut out, info.name.as_bytes());
        out.extend((info.shape.len() as u32).to_le_bytes());
        for &dimension in info.shape.iter().rev() {
            put_length(&mut out, dimension);
        }
        let number = if *is_sparse {
            SparseTensor::gguf_id(info.dtype)
        } else {
            info.dtype.gguf_id()
        };
        out.extend(number.to_le_bytes());
        put_length(&mut out, offset);
        offset += size + padding(*size, alignment);
    }
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
    use dino_core::{DType, Storage};

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
    fn tensors_without_zeros_are_read_and_their_sizes_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        let infos = [
            info("a", DType::Q8_0, &[2, 64]),
            info("b", DType::F32, &[2]),
            info("c", DType::Q4_0, &[32]),
        ];
        let mut bytes = vec![0; 4 * 34];
        for at in [0, 5, 40, 135] {
            bytes[at] = 7;
        }
        let storage = Storage::from_vec(bytes.clone());
        let a = Tensor::new("a", DType::Q8_0, &[2, 64], storage).unwrap();
        let c = Storage::from_vec([[0x3c, 0].as_slice(), &[0x98; 16]].concat());
        let c = Tensor::new("c", DType::Q4_0, &[32], c).unwrap();
        let [sparse_a, sparse_c] = [&a, &c].map(|tensor| SparseTensor::encode(tensor).unwrap());
        let mut writer = Writer::create(&path, &Metadata::new("m"), &infos).unwrap();
        let wrong = writer.sparse_tensor(&sparse_c);
        assert!(matches!(wrong, Err(FormatError::WriteMismatch { .. })));
        writer.sparse_tensor(&sparse_a).unwrap();
        writer.tensor(&[9; 8]).unwrap();
        writer.sparse_tensor(&sparse_c).unwrap();
        writer.finish().unwrap();
        let read = ModelFile::open(&path).unwrap().weights;
        assert_eq!(read.get("a").unwrap().storage().as_slice(), bytes);
        assert_eq!(read.get("b").unwrap().storage().as_slice(), [9; 8]);
        assert_eq!(
            read.get("c").unwrap().storage().as_slice(),
            c.storage().as_slice()
        );
        let stored = sparse_a.storage().len() + 8 + sparse_c.storage().len();
        assert_eq!(read.stored_bytes(), stored as u64);
        // Bytes that are cut off are missed wherever they were.
        let whole = std::fs::read(&path).unwrap();
        for length in whole.len() - 100..whole.len() - 26 {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(
                ModelFile::open(&path).is_err(),
                "{length} of {}",
                whole.len()
            );
        }
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
