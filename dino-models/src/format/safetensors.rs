//! Safetensors: the tensors of Hugging Face folders.
//!
//! The specification: <https://github.com/huggingface/safetensors#format>.
//!
//! ```text
//! length of the header u64, little endian
//! the header: a JSON object {"NAME": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}, …}, padded by spaces
//! the data: the tensors one behind the other, without gaps
//! ```

use super::{FormatError, TensorInfo};
use dino_core::{DType, Storage, Tensor};
use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use std::fmt;
use std::path::Path;

/// The most bytes of a header: the limit of the reference implementation.
const MAX_HEADER: usize = 100_000_000;
/// The most tensors of a file.
const MAX_TENSORS: usize = 1 << 20;

/// A tensor of a file, of whatever type.
#[derive(Clone, Debug)]
pub(crate) enum RawTensor {
    /// One of a type that models are computed with.
    Readable(Tensor),
    /// One of another type, such as an index buffer.
    Other {
        /// The type, as the file calls it.
        dtype: String,
    },
}

/// The tensors of the file `path`, which is mapped, in the order of its header.
///
/// # Errors
/// If it cannot be mapped; as those of [`read`].
pub(crate) fn open(path: &Path) -> Result<IndexMap<String, RawTensor>, FormatError> {
    let storage = Storage::map(path).map_err(FormatError::Open)?;
    read(path, &storage)
}

/// The tensors of the file `path`, whose bytes are `storage`, in the order of its header. They share its bytes.
///
/// # Errors
/// If the header is damaged, or a tensor does not lie where its shape and type need it to.
pub(crate) fn read(
    path: &Path,
    storage: &Storage,
) -> Result<IndexMap<String, RawTensor>, FormatError> {
    let (header, start) = header(path, storage.as_slice())?;
    let entries: Entries =
        serde_json::from_slice(header).map_err(|source| FormatError::Header {
            file: path.into(),
            source,
        })?;
    let data = storage
        .slice(start, storage.len() - start)
        .map_err(FormatError::Open)?;
    check_layout(path, &entries.0, data.len())?;
    let mut tensors = IndexMap::with_capacity(entries.0.len());
    for (name, entry) in entries.0 {
        let tensor = tensor(path, &data, &name, entry)?;
        if tensors.insert(name.clone(), tensor).is_some() {
            let file = path.into();
            return Err(FormatError::DuplicateTensor { file, tensor: name });
        }
    }
    Ok(tensors)
}

/// The bytes of the header, and where the data behind it starts.
fn header<'a>(path: &Path, bytes: &'a [u8]) -> Result<(&'a [u8], usize), FormatError> {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return Err(FormatError::Truncated {
            file: path.into(),
            reading: "the length of the header".into(),
            offset: 0,
            needed: size_of::<u64>() as u64,
            left: bytes.len(),
        });
    };
    let claimed = u64::from_le_bytes(*length);
    let possible = rest.len().min(MAX_HEADER);
    let length = usize::try_from(claimed).ok().filter(|&n| n <= possible);
    let header = length.and_then(|length| rest.get(..length));
    let header = header.ok_or_else(|| FormatError::TooMany {
        file: path.into(),
        reading: "the header".into(),
        offset: 0,
        claimed,
        unit: "bytes",
        possible,
    })?;
    Ok((header, size_of::<u64>() + header.len()))
}

/// What the header says of a tensor.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

/// All entries, also those that appear twice.
struct Entries(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<serde::de::IgnoredAny>()?;
                continue;
            }
            if entries.len() == MAX_TENSORS {
                return Err(A::Error::custom(format!("more than {MAX_TENSORS} tensors")));
            }
            entries.push((name, map.next_value()?));
        }
        Ok(Entries(entries))
    }
}

/// Makes sure that the tensors lie one behind the other and fill the data, as the specification wants.
fn check_layout(
    path: &Path,
    entries: &[(String, Entry)],
    available: usize,
) -> Result<(), FormatError> {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut end = 0;
    for (name, entry) in sorted {
        let (from, to) = entry.data_offsets;
        if to > available || from > to {
            return Err(FormatError::OutsideFile {
                file: path.into(),
                tensor: name.clone(),
                offset: from as u64,
                needed: to.saturating_sub(from),
                available,
            });
        }
        if from != end {
            return Err(FormatError::Unfit {
                file: path.into(),
                tensor: name.clone(),
                found: format!("data from {from} on"),
                expected: format!("{end}, where the data before it ends"),
            });
        }
        end = to;
    }
    if end != available {
        return Err(FormatError::PartMismatch {
            file: path.into(),
            key: "the size of the data",
            expected: end,
            found: available,
        });
    }
    Ok(())
}

fn tensor(path: &Path, data: &Storage, name: &str, entry: Entry) -> Result<RawTensor, FormatError> {
    let dtype = match entry.dtype.as_str() {
        "F32" => DType::F32,
        "F16" => DType::F16,
        "BF16" => DType::BF16,
        _ => return Ok(RawTensor::Other { dtype: entry.dtype }),
    };
    let wrap = |source| FormatError::Tensor {
        file: path.into(),
        source,
    };
    if let Some(&found) = entry.shape.iter().find(|&&dimension| dimension == 0) {
        return Err(FormatError::BadDimension {
            file: path.into(),
            tensor: name.into(),
            found: found as u64,
        });
    }
    let (from, to) = entry.data_offsets;
    let storage = data.slice(from, to.saturating_sub(from)).map_err(wrap)?;
    let tensor = Tensor::new(name, dtype, &entry.shape, storage).map_err(wrap)?;
    Ok(RawTensor::Readable(tensor))
}

impl RawTensor {
    /// The tensor, if it is of a type that is read here.
    ///
    /// # Errors
    /// [`FormatError::UnreadType`].
    pub(crate) fn readable(&self, path: &Path, name: &str) -> Result<Tensor, FormatError> {
        match self {
            Self::Readable(tensor) => Ok(tensor.clone()),
            Self::Other { dtype } => Err(FormatError::UnreadType {
                file: path.into(),
                tensor: name.into(),
                found: dtype.clone(),
            }),
        }
    }
}

/// Writes `tensors` as a safetensors file; `bytes` gives each one's data. For tests and tools.
pub fn to_bytes<'a>(tensors: impl IntoIterator<Item = (&'a TensorInfo, &'a [u8])>) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (info, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        let entry = serde_json::json!({
            "dtype": info.dtype.name(), "shape": info.shape, "data_offsets": offsets,
        });
        header.insert(info.name.clone(), entry);
        data.extend_from_slice(bytes);
    }
    let mut header = serde_json::Value::Object(header).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let length = (header.len() as u64).to_le_bytes();
    [&length, header.as_bytes(), &data].concat()
}
