//! The header: version, counts, keys and values.

use super::MAX_ENTRIES;
use super::reader::Reader;
use crate::format::{Array, FormatError, Metadata, ScalarArray, StringArray, Value, ValueType};

/// Arrays of arrays of arrays of arrays are allowed, no deeper.
const MAX_DEPTH: usize = 4;

/// How many tensors and keys a file says to hold.
pub(super) struct Counts {
    pub(super) tensors: usize,
    pub(super) keys: usize,
}

/// Reads magic, version and counts.
pub(super) fn counts(reader: &mut Reader<'_>) -> Result<Counts, FormatError> {
    /// Bytes of the least entries: an empty name, a type, a byte; a name, one dimension, type, offset.
    const KEY: usize = 8 + 4 + 1;
    const TENSOR: usize = 8 + 4 + 8 + 4 + 8;
    // The magic, at which the caller has looked.
    reader.take(4)?;
    let version = reader.u32()?;
    let (file, _) = reader.place();
    if version.swap_bytes() == 2 || version.swap_bytes() == 3 {
        return Err(FormatError::Unsupported {
            file,
            what: "a big-endian GGUF file",
            advice: "take the little-endian file of the same model",
        });
    }
    if version != 2 && version != 3 {
        return Err(FormatError::Version {
            file,
            found: version,
        });
    }
    let tensors = reader.count("tensors", TENSOR, MAX_ENTRIES)?;
    let keys = reader.count("keys", KEY, MAX_ENTRIES)?;
    Ok(Counts { tensors, keys })
}

/// Reads `count` keys with their values into `metadata`.
pub(super) fn keys(
    reader: &mut Reader<'_>,
    count: usize,
    metadata: &mut Metadata,
) -> Result<(), FormatError> {
    let mut arrays_left = MAX_ENTRIES;
    for index in 0..count {
        reader.enter(format!("the name of key {index}"));
        let key = reader.name()?;
        reader.enter(format!("the value of `{key}`"));
        if metadata.contains(key) {
            let (file, _) = reader.place();
            let key = key.into();
            return Err(FormatError::DuplicateKey { file, key });
        }
        let kind = value_type(reader)?;
        metadata.insert(key, value(reader, kind, &mut arrays_left)?);
    }
    Ok(())
}

fn value_type(reader: &mut Reader<'_>) -> Result<ValueType, FormatError> {
    let offset = reader.position();
    let found = reader.u32()?;
    ValueType::from_gguf_id(found).ok_or_else(|| {
        let (file, reading) = reader.place();
        FormatError::UnknownValueType {
            file,
            reading,
            offset,
            found,
        }
    })
}

fn value(
    reader: &mut Reader<'_>,
    kind: ValueType,
    arrays_left: &mut usize,
) -> Result<Value, FormatError> {
    match kind.size() {
        Some(size) => {
            let offset = reader.position();
            let bytes = reader.take(size)?;
            Value::from_le_bytes(kind, bytes).ok_or_else(|| bad_bool(reader, offset, bytes))
        }
        None if kind == ValueType::String => Ok(Value::String(reader.bytes(usize::MAX)?.into())),
        None => Ok(Value::Array(array(reader, MAX_DEPTH, arrays_left)?)),
    }
}

/// Reads an array that may hold arrays `depth - 1` deep, and counts it off `arrays_left`.
fn array(
    reader: &mut Reader<'_>,
    depth: usize,
    arrays_left: &mut usize,
) -> Result<Array, FormatError> {
    let element = value_type(reader)?;
    match element.size() {
        Some(size) => scalars(reader, element, size).map(Array::Scalars),
        None if element == ValueType::String => strings(reader).map(Array::Strings),
        None => {
            if depth <= 1 {
                let (file, reading) = reader.place();
                let offset = reader.position();
                return Err(FormatError::NestedTooDeep {
                    file,
                    reading,
                    offset,
                    limit: MAX_DEPTH,
                });
            }
            // An array is its element type and its length at least.
            let count = reader.count("arrays", 4 + 8, *arrays_left)?;
            *arrays_left -= count;
            let arrays = (0..count).map(|_| array(reader, depth - 1, arrays_left));
            arrays.collect::<Result<_, _>>().map(Array::Arrays)
        }
    }
}

fn scalars(
    reader: &mut Reader<'_>,
    element: ValueType,
    size: usize,
) -> Result<ScalarArray, FormatError> {
    let count = reader.count("elements", size, usize::MAX)?;
    let start = reader.position();
    // `count` times `size` is at most what is left, so it does not overflow.
    let bytes = reader.take(count * size)?;
    if element == ValueType::Bool
        && let Some(index) = bytes.iter().position(|&byte| byte > 1)
    {
        let found = bytes.get(index..).unwrap_or_default();
        return Err(bad_bool(reader, start + index, found));
    }
    Ok(ScalarArray::new(element, size, reader.since(start)?))
}

fn strings(reader: &mut Reader<'_>) -> Result<StringArray, FormatError> {
    let count = reader.count("strings", size_of::<u64>(), usize::MAX)?;
    let start = reader.position();
    // At most one offset for every 8 bytes that are left.
    let mut starts = Vec::with_capacity(count);
    for _ in 0..count {
        starts.push(reader.position() - start);
        reader.bytes(usize::MAX)?;
    }
    Ok(StringArray::new(reader.since(start)?, starts))
}

fn bad_bool(reader: &Reader<'_>, offset: usize, bytes: &[u8]) -> FormatError {
    let (file, reading) = reader.place();
    FormatError::BadBool {
        file,
        reading,
        offset,
        found: bytes.first().copied().unwrap_or_default(),
    }
}
