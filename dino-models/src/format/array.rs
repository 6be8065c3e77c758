//! Arrays, which stay in the bytes of the file: a vocabulary of 150,000 tokens costs its offsets.

use super::{Value, ValueType};
use dino_core::Storage;
use std::fmt;

/// An array of values of one type.
#[derive(Clone, Debug)]
pub enum Array {
    /// Numbers or bools.
    Scalars(ScalarArray),
    /// Strings.
    Strings(StringArray),
    /// Arrays, which may differ in type and length.
    Arrays(Vec<Array>),
}

impl Array {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Scalars(array) => array.len(),
            Self::Strings(array) => array.len(),
            Self::Arrays(arrays) => arrays.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements with these indices, in this order; those that are not there are left out.
    #[must_use]
    pub fn pick(&self, indices: &[usize]) -> Self {
        let indices = indices.iter().copied();
        match self {
            Self::Scalars(array) => {
                let bytes = array.bytes();
                let at = |index: usize| bytes.get(index * array.size..)?.get(..array.size);
                let picked: Vec<&[u8]> = indices.filter_map(at).collect();
                let bytes = Storage::from_vec(picked.concat());
                Self::Scalars(ScalarArray::new(array.element, array.size, bytes))
            }
            Self::Strings(array) => Self::Strings(indices.filter_map(|i| array.get(i)).collect()),
            Self::Arrays(arrays) => {
                Self::Arrays(indices.filter_map(|i| arrays.get(i).cloned()).collect())
            }
        }
    }

    /// The type of the elements.
    pub fn element(&self) -> ValueType {
        match self {
            Self::Scalars(array) => array.element,
            Self::Strings(_) => ValueType::String,
            Self::Arrays(_) => ValueType::Array,
        }
    }
}

impl fmt::Display for Array {
    /// The first elements in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 6;
        let mut list = String::new();
        for i in 0..self.len().min(SHOWN) {
            let element = match self {
                Self::Scalars(array) => array.get(i),
                Self::Strings(array) => array.get(i).map(|bytes| Value::String(bytes.into())),
                Self::Arrays(arrays) => arrays.get(i).cloned().map(Value::Array),
            };
            let comma = if i == 0 { "" } else { ", " };
            list += &element.map_or(String::new(), |element| format!("{comma}{element}"));
        }
        let more = if self.len() > SHOWN { ", …" } else { "" };
        write!(f, "{} × {} [{list}{more}]", self.len(), self.element())
    }
}

/// Numbers or bools, in the little-endian bytes of the file.
#[derive(Clone, Debug)]
pub struct ScalarArray {
    element: ValueType,
    /// Bytes of an element, never 0.
    size: usize,
    bytes: Storage,
}

impl ScalarArray {
    /// The whole elements in `bytes`, each of `size` bytes: the size of the scalar type `element`.
    pub(super) fn new(element: ValueType, size: usize, bytes: Storage) -> Self {
        Self {
            element,
            size,
            bytes,
        }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.size
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element with index `index`.
    pub fn get(&self, index: usize) -> Option<Value> {
        let start = index.checked_mul(self.size)?;
        let bytes = self.bytes.as_slice().get(start..)?.get(..self.size)?;
        Value::from_le_bytes(self.element, bytes)
    }

    /// All elements, in order.
    pub fn iter(&self) -> impl Iterator<Item = Value> + '_ {
        self.bytes
            .as_slice()
            .chunks_exact(self.size)
            .filter_map(|bytes| Value::from_le_bytes(self.element, bytes))
    }

    /// The elements, little endian.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }
}

/// Strings, each behind its length (8 bytes, little endian) as GGUF stores them.
///
/// They stay in the bytes of the file; an element costs one offset. They are bytes, for the tokens of some
/// vocabularies are parts of characters.
#[derive(Clone, Debug)]
pub struct StringArray {
    bytes: Storage,
    /// Where the length of each string lies in `bytes`.
    starts: Vec<usize>,
}

impl StringArray {
    /// Strings whose lengths lie at `starts` of `bytes`, one behind the other.
    pub(super) fn new(bytes: Storage, starts: Vec<usize>) -> Self {
        Self { bytes, starts }
    }

    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is no string.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The string with index `index`, as bytes.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let bytes = self.bytes.as_slice();
        let start = self.starts.get(index)? + size_of::<u64>();
        let end = self.starts.get(index + 1).copied().unwrap_or(bytes.len());
        bytes.get(start..end)
    }

    /// The string with index `index`; `None` also if it is not UTF-8.
    pub fn str(&self, index: usize) -> Option<&str> {
        std::str::from_utf8(self.get(index)?).ok()
    }

    /// All strings, in order, as bytes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + '_ {
        (0..self.len()).map(|index| self.get(index).unwrap_or_default())
    }

    /// The strings with their lengths.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }
}

impl<S: AsRef<[u8]>> FromIterator<S> for StringArray {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for string in strings {
            let string = string.as_ref();
            starts.push(bytes.len());
            bytes.extend_from_slice(&(string.len() as u64).to_le_bytes());
            bytes.extend_from_slice(string);
        }
        Self::new(Storage::from_vec(bytes), starts)
    }
}
