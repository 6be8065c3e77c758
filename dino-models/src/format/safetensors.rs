//! Safetensors: the tensors of Hugging Face folders.
//!
//! The specification: <https://github.com/huggingface/safetensors#format>.
//!
//! ```text
//! length of the header u64, little endian
//! the header: a JSON object {"NAME": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}, …}, padded by spaces
//! the data: the tensors one behind the other, without gaps
//! ```

use super::piece::{Bytes, Microscaled, Piece};
use super::{FormatError, TensorInfo};
use dino_core::{DType, Storage, Tensor};
use indexmap::{IndexMap, IndexSet};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use std::fmt;
use std::path::Path;

/// The most bytes of a header: the limit of the reference implementation.
const MAX_HEADER: usize = 100_000_000;
/// The type of tensors of bytes.
const BYTES: &str = "U8";
/// The most tensors of a file.
const MAX_TENSORS: usize = 1 << 20;

/// A tensor of a file, of whatever type.
#[derive(Clone, Debug)]
pub(crate) enum RawTensor {
    /// One of a type that models are computed with.
    Readable(Tensor),
    /// One that is stored in two.
    Microscaled(Microscaled),
    /// Bytes, which mean something together with others.
    Bytes(Bytes),
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
        "F32" => Some(DType::F32),
        "F16" => Some(DType::F16),
        "BF16" => Some(DType::BF16),
        BYTES => None,
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
    let shape = entry.shape;
    let Some(dtype) = dtype else {
        let size = shape.iter().try_fold(1_usize, |n, &x| n.checked_mul(x));
        if size != Some(storage.len()) {
            return Err(FormatError::Unfit {
                file: path.into(),
                tensor: name.into(),
                found: format!("{} bytes", storage.len()),
                expected: format!("a byte for each value of {shape:?}"),
            });
        }
        return Ok(RawTensor::Bytes(Bytes { shape, storage }));
    };
    let tensor = Tensor::new(name, dtype, &shape, storage).map_err(wrap)?;
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
            _ => Err(self.unread(path, name)),
        }
    }

    /// The error that tensors of this type are not read.
    fn unread(&self, path: &Path, name: &str) -> FormatError {
        let found = match self {
            Self::Readable(tensor) => tensor.dtype().name(),
            Self::Microscaled(_) => DType::MXFP4.name(),
            Self::Bytes(_) => BYTES,
            Self::Other { dtype } => dtype,
        };
        FormatError::UnreadType {
            file: path.into(),
            tensor: name.into(),
            found: found.into(),
        }
    }

    /// As [`Self::readable`], or one that is stored in two.
    ///
    /// # Errors
    /// [`FormatError::UnreadType`].
    pub(crate) fn piece(&self, path: &Path, name: &str) -> Result<Piece, FormatError> {
        match self {
            Self::Microscaled(pair) => Ok(Piece::Microscaled(pair.clone())),
            _ => self.readable(path, name).map(Piece::Stored),
        }
    }
}

/// Puts together what of `tensors` is stored in two: `NAME_blocks` and `NAME_scales`, both bytes, become `NAME`.
///
/// # Errors
/// [`FormatError::MissingTensor`] if one of them is not there; [`FormatError::Unfit`] if they do not go together.
pub(crate) fn join_microscaled(
    path: &Path,
    tensors: &mut IndexMap<String, RawTensor>,
) -> Result<(), FormatError> {
    const ENDS: [&str; 2] = ["_blocks", "_scales"];
    let is_bytes = |(_, raw): &(&String, &RawTensor)| matches!(raw, RawTensor::Bytes(_));
    let stem = |(name, _)| {
        let name: &String = name;
        ENDS.iter().find_map(|end| name.strip_suffix(end))
    };
    let bytes = tensors.iter().filter(is_bytes);
    let stems: IndexSet<String> = bytes.filter_map(stem).map(str::to_owned).collect();
    for name in stems {
        let [blocks, scales] = ENDS.map(|end| {
            let tensor = name.clone() + end;
            match tensors.shift_remove(&tensor) {
                Some(RawTensor::Bytes(bytes)) => Ok(bytes),
                Some(raw) => Err(raw.unread(path, &tensor)),
                None => Err(FormatError::MissingTensor {
                    file: path.into(),
                    tensor,
                    similar: None,
                }),
            }
        });
        let pair = Microscaled::new(path, &name, &blocks?, &scales?)?;
        let raw = RawTensor::Microscaled(pair);
        if tensors.insert(name.clone(), raw).is_some() {
            let file = path.into();
            return Err(FormatError::DuplicateTensor { file, tensor: name });
        }
    }
    Ok(())
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
