//! Tensors without their zeros, as files hold them.

use crate::storage::AlignedBytes;
use crate::{CoreError, DType, Storage, Tensor};

/// The blocks of a tensor of Q8_0 or Q4_0, whose codes that mean zero are left out.
///
/// ```text
/// byte 0       8                    8 + 4 b              8 + 6 b
///      | count | masks              | scales             | codes                    |
///        u64     u32 a block: bit i   f16 a block          count codes: i8, or nibbles,
///                is set where value i                      the first in the low half
///                is not zero
/// ```
///
/// `b` is the number of blocks, all numbers are little-endian, and both blocks and codes are in the order of the dense
/// tensor, which [`SparseTensor::to_tensor`] gives back to the byte.
#[derive(Clone, Debug)]
pub struct SparseTensor {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    storage: Storage,
}

/// Values of a block of the types that can be sparse.
const BLOCK: usize = 32;
/// Bytes before the masks.
const COUNT: usize = 8;
/// What is added to the number of a type in a GGUF file where its zeros are left out: beyond all that ggml has, so that other
/// readers refuse the file.
const GGUF: u32 = 0x444e_0000;

impl SparseTensor {
    /// Whether tensors of this type can be stored without zeros: those in which exactly one code means zero.
    pub fn can_be(dtype: DType) -> bool {
        matches!(dtype, DType::Q8_0 | DType::Q4_0)
    }

    /// The number that a GGUF file gives to the type `dtype` without zeros.
    pub fn gguf_id(dtype: DType) -> u32 {
        GGUF + dtype.gguf_id()
    }

    /// The type that a GGUF file stores without zeros under this number, if there is one.
    pub fn from_gguf_id(id: u32) -> Option<DType> {
        let dtype = DType::from_gguf_id(id.checked_sub(GGUF)?).ok()?;
        Self::can_be(dtype).then_some(dtype)
    }

    /// `tensor` without its zeros; `None` if its type cannot be.
    pub fn encode(tensor: &Tensor) -> Option<Self> {
        let dtype = tensor.dtype();
        if !Self::can_be(dtype) {
            return None;
        }
        let blocks = tensor
            .storage()
            .as_slice()
            .chunks_exact(dtype.block_bytes());
        let (mut masks, mut scales, mut codes) = (Vec::new(), Vec::new(), Codes::new(dtype));
        for block in blocks {
            let (scale, stored) = block.split_at(2);
            let mut mask = 0_u32;
            for value in 0..BLOCK {
                let code = code_of(dtype, stored, value);
                if code != zero(dtype) {
                    mask |= 1 << value;
                    codes.push(code);
                }
            }
            masks.extend(mask.to_le_bytes());
            scales.extend_from_slice(scale);
        }
        let count = (codes.count as u64).to_le_bytes();
        let bytes = [&count[..], &masks, &scales, &codes.bytes].concat();
        Some(Self {
            name: tensor.name().into(),
            dtype,
            shape: tensor.shape().to_vec(),
            storage: Storage::from_vec(bytes),
        })
    }

    /// The tensor whose bytes `storage` begins with.
    ///
    /// # Errors
    /// [`CoreError::Sparse`] if there are too few bytes, or the masks name another number of codes; those of
    /// [`Tensor::byte_size`] if the shape cannot be.
    pub fn new(
        name: impl Into<String>,
        dtype: DType,
        shape: &[usize],
        storage: &Storage,
    ) -> Result<Self, CoreError> {
        let name = name.into();
        Tensor::byte_size(&name, dtype, shape)?;
        let blocks = shape.iter().product::<usize>() / BLOCK;
        let short = |expected: usize| CoreError::Sparse {
            name: name.clone(),
            what: "bytes",
            expected,
            found: storage.len(),
        };
        let codes_at = COUNT + 6 * blocks;
        let bytes = storage.as_slice();
        let head = bytes.get(..codes_at).ok_or_else(|| short(codes_at))?;
        let (count, masks) = head.split_at(COUNT);
        let masks = masks[..4 * blocks].as_chunks::<4>().0;
        let named = masks
            .iter()
            .map(|mask| u32::from_le_bytes(*mask).count_ones() as usize);
        let named: usize = named.sum();
        let count = count.try_into().map_or(u64::MAX, u64::from_le_bytes);
        if count != named as u64 {
            return Err(CoreError::Sparse {
                name,
                what: "codes",
                expected: named,
                found: usize::try_from(count).unwrap_or(usize::MAX),
            });
        }
        let total = codes_at + code_bytes(dtype, named);
        let storage = storage.slice(0, total).map_err(|_| short(total))?;
        Ok(Self {
            name,
            dtype,
            shape: shape.to_vec(),
            storage,
        })
    }

    /// The tensor's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same tensor under another name.
    #[must_use]
    pub fn named(&self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self.clone()
        }
    }

    /// The type that it has with its zeros.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Its dimensions, rows first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The bytes as a file holds them.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The tensor with its zeros.
    ///
    /// # Panics
    /// If a mapped file was changed since the tensor was checked.
    pub fn to_tensor(&self) -> Tensor {
        let size = Tensor::byte_size(&self.name, self.dtype, &self.shape).expect("a checked shape");
        let mut dense = AlignedBytes::zeroed(size);
        let blocks = size / self.dtype.block_bytes();
        let bytes = self.storage.as_slice();
        let (masks, rest) = bytes[COUNT..].split_at(4 * blocks);
        let (scales, codes) = rest.split_at(2 * blocks);
        let mut next = 0;
        let each = dense
            .as_mut_slice()
            .chunks_exact_mut(self.dtype.block_bytes());
        let parts = masks.as_chunks::<4>().0.iter().zip(scales.chunks_exact(2));
        for (block, (mask, scale)) in each.zip(parts) {
            block[..2].copy_from_slice(scale);
            let mask = u32::from_le_bytes(*mask);
            for value in 0..BLOCK {
                let mut code = zero(self.dtype);
                if mask >> value & 1 == 1 {
                    code = match self.dtype {
                        DType::Q4_0 => codes[next / 2] >> (4 * (next % 2)) & 0x0f,
                        _ => codes[next],
                    };
                    next += 1;
                }
                put_code(self.dtype, &mut block[2..], value, code);
            }
        }
        let storage = Storage::from_aligned(dense);
        Tensor::new(self.name.as_str(), self.dtype, &self.shape, storage).expect("a checked shape")
    }
}

/// The code that means zero.
fn zero(dtype: DType) -> u8 {
    if dtype == DType::Q4_0 { 8 } else { 0 }
}

/// Bytes that so many codes take.
fn code_bytes(dtype: DType, count: usize) -> usize {
    match dtype {
        DType::Q4_0 => count.div_ceil(2),
        _ => count,
    }
}

/// Code `value` of the codes of a block: byte i of Q4_0 holds values i and i + 16.
fn code_of(dtype: DType, stored: &[u8], value: usize) -> u8 {
    match dtype {
        DType::Q4_0 => stored[value % 16] >> (value / 16 * 4) & 0x0f,
        _ => stored[value],
    }
}

fn put_code(dtype: DType, stored: &mut [u8], value: usize, code: u8) {
    match dtype {
        DType::Q4_0 => stored[value % 16] |= code << (value / 16 * 4),
        _ => stored[value] = code,
    }
}

/// Codes one behind the other.
struct Codes {
    dtype: DType,
    bytes: Vec<u8>,
    count: usize,
}

impl Codes {
    fn new(dtype: DType) -> Self {
        Self {
            dtype,
            bytes: Vec::new(),
            count: 0,
        }
    }

    fn push(&mut self, code: u8) {
        let is_second = self.dtype == DType::Q4_0 && self.count % 2 == 1;
        match self.bytes.last_mut().filter(|_| is_second) {
            Some(last) => *last |= code << 4,
            None => self.bytes.push(code),
        }
        self.count += 1;
    }
}
