//! GGUF files laid byte by byte, so that they can lie.

use dino_core::DType;
use dino_models::format::gguf::{TensorInfo, Writer};
use dino_models::format::{Array, Metadata, Value};

pub(crate) const U8: u32 = 0;
pub(crate) const U32: u32 = 4;
pub(crate) const BOOL: u32 = 7;
pub(crate) const STRING: u32 = 8;
pub(crate) const ARRAY: u32 = 9;

/// A file with values of many types and three tensors, written as this crate writes files.
pub(crate) fn valid() -> Vec<u8> {
    let nested = vec![
        Array::Strings(["x", ""].iter().collect()),
        Array::Arrays(vec![Array::Arrays(Vec::new())]),
    ];
    let metadata = Metadata::new("valid")
        .with("general.architecture", "llama")
        .with("general.alignment", 32_u32)
        .with("llama.block_count", 2_u32)
        .with("llama.eps", 1e-5_f32)
        .with("flag", true)
        .with("wide", -5_i64)
        .with("double", 0.5_f64)
        .with("tokens", ["a", "", "größe"])
        .with("scores", [1.5_f32, -2.0])
        .with("flags", [true, false])
        .with("nested", Value::Array(Array::Arrays(nested)));
    let tensors = [
        ("a", DType::F32, vec![2, 3]),
        ("b", DType::Q8_0, vec![1, 32]),
        ("c", DType::F16, vec![2, 2, 2]),
    ]
    .map(|(name, dtype, shape)| TensorInfo {
        name: name.into(),
        dtype,
        shape,
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("valid.gguf");
    let mut writer = Writer::create(&path, &metadata, &tensors).unwrap();
    for size in [24, 34, 16] {
        writer.tensor(&vec![7; size]).unwrap();
    }
    writer.finish().unwrap();
    std::fs::read(path).unwrap()
}

/// A file laid by hand: its keys and its tensors, and counts that need not be theirs.
#[derive(Default)]
pub(crate) struct Lay {
    keys: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    key_count: Option<u64>,
    tensor_count: Option<u64>,
    data: usize,
}

impl Lay {
    /// Adds a key with the bytes of a value of type `kind`.
    pub(crate) fn key(mut self, name: &str, kind: u32, value: &[u8]) -> Self {
        let kind = kind.to_le_bytes();
        self.keys
            .push([&string(name.as_bytes()), &kind[..], value].concat());
        self
    }

    /// Adds a tensor with dimensions in GGUF's order.
    pub(crate) fn tensor(mut self, name: &str, dims: &[u64], kind: u32, offset: u64) -> Self {
        let mut bytes = string(name.as_bytes());
        bytes.extend((dims.len() as u32).to_le_bytes());
        bytes.extend(dims.iter().flat_map(|d| d.to_le_bytes()));
        bytes.extend(kind.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        self.tensors.push(bytes);
        self
    }

    /// Bytes in the data section.
    pub(crate) fn data(mut self, bytes: usize) -> Self {
        self.data = bytes;
        self
    }

    /// Claims other counts than there are.
    pub(crate) fn claim(mut self, tensors: Option<u64>, keys: Option<u64>) -> Self {
        (self.tensor_count, self.key_count) = (tensors, keys);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        let count = |claim: Option<u64>, there: usize| claim.unwrap_or(there as u64).to_le_bytes();
        bytes.extend(count(self.tensor_count, self.tensors.len()));
        bytes.extend(count(self.key_count, self.keys.len()));
        bytes.extend(self.keys.concat());
        bytes.extend(self.tensors.concat());
        bytes.resize(bytes.len().next_multiple_of(32) + self.data, 0);
        bytes
    }
}

/// A string: its length, then its bytes.
pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_le_bytes(), bytes].concat()
}

/// An array that says to hold `count` elements of type `element`.
pub(crate) fn array(element: u32, count: u64, elements: &[u8]) -> Vec<u8> {
    [&element.to_le_bytes(), &count.to_le_bytes()[..], elements].concat()
}
