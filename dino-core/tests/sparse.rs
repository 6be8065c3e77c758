//! Tensors without zeros come back to the byte, and damaged ones are refused.

use dino_core::{CoreError, DType, SparseTensor, Storage, Tensor};

/// A tensor whose codes are not zero where the bits of `kept` are set, over and over.
fn tensor(dtype: DType, shape: &[usize], kept: u64) -> Tensor {
    let size = Tensor::byte_size("t", dtype, shape).unwrap();
    let mut bytes = vec![0; size];
    let mut value = 0;
    let mut next = || {
        value += 1;
        kept >> (value % 61) & 1 == 1
    };
    for (index, block) in bytes.chunks_exact_mut(dtype.block_bytes()).enumerate() {
        block[0] = index as u8;
        for code in &mut block[2..] {
            *code = match dtype {
                DType::Q4_0 => {
                    let mut nibble = |x: usize| if next() { (x % 8) as u8 } else { 8 };
                    nibble(index) | nibble(index + 3) << 4
                }
                _ if next() => (index % 255 + 1) as u8,
                _ => 0,
            };
        }
    }
    Tensor::new("t", dtype, shape, Storage::from_vec(bytes)).unwrap()
}

#[test]
fn tensors_come_back_to_the_byte() {
    for dtype in [DType::Q8_0, DType::Q4_0] {
        for kept in [0, 1, 0x5a5a_5a5a_0f0f_f0f1, u64::MAX] {
            for shape in [&[32][..], &[3, 64], &[2, 5, 96]] {
                let dense = tensor(dtype, shape, kept);
                let sparse = SparseTensor::encode(&dense).unwrap();
                // More bytes may follow in a file.
                let mut bytes = sparse.storage().as_slice().to_vec();
                bytes.extend([0xff; 7]);
                let read = SparseTensor::new("t", dtype, shape, &Storage::from_vec(bytes)).unwrap();
                assert_eq!(read.storage().len(), sparse.storage().len());
                let back = read.to_tensor();
                assert_eq!((back.dtype(), back.shape()), (dtype, shape));
                assert_eq!(back.storage().as_slice(), dense.storage().as_slice());
            }
        }
    }
    assert!(SparseTensor::encode(&tensor(DType::F32, &[8], 0)).is_none());
}

#[test]
fn numbers_lead_back_and_no_others_do() {
    for dtype in DType::ALL {
        let back = SparseTensor::from_gguf_id(SparseTensor::gguf_id(dtype));
        assert_eq!(back, SparseTensor::can_be(dtype).then_some(dtype));
        assert_eq!(SparseTensor::from_gguf_id(dtype.gguf_id()), None);
    }
}

#[test]
fn damage_is_refused() {
    for dtype in [DType::Q8_0, DType::Q4_0] {
        let dense = tensor(dtype, &[2, 64], 0x1234_5678_9abc_def1);
        let bytes = SparseTensor::encode(&dense)
            .unwrap()
            .storage()
            .as_slice()
            .to_vec();
        let read = |bytes: &[u8], shape: &[usize]| {
            let storage = Storage::from_vec(bytes.to_vec());
            SparseTensor::new("t", dtype, shape, &storage)
        };
        assert!(read(&bytes, &[2, 64]).is_ok());
        for length in 0..bytes.len() {
            let error = read(&bytes[..length], &[2, 64]).unwrap_err();
            assert!(
                matches!(error, CoreError::Sparse { what: "bytes", .. }),
                "{error}"
            );
        }
        // Every bit of the count and of the masks is held against the other.
        for bit in 0..8 * (8 + 4 * 4) {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = read(&damaged, &[2, 64]).unwrap_err();
            assert!(
                matches!(error, CoreError::Sparse { what: "codes", .. }),
                "{error}"
            );
        }
        assert!(read(&bytes, &[usize::MAX, 64]).is_err());
        assert!(read(&bytes, &[2, 33]).is_err());
        assert!(read(&bytes, &[1 << 40, 64]).is_err());
    }
}
