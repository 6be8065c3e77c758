//! Tensors and storage against the plain arithmetic of shapes and byte ranges.

use dino_core::storage::AlignedBytes;
use dino_core::{CoreError, DType, Storage, Tensor, blocks};
use proptest::prelude::*;
use std::io::Write as _;

fn dtype() -> impl Strategy<Value = DType> {
    prop::sample::select(DType::ALL.to_vec())
}

/// Dimensions as a damaged file may have them: small, near the limits, and in between.
fn hostile_shape() -> impl Strategy<Value = Vec<usize>> {
    let dimension = prop_oneof![
        0..5_usize,
        (0..64_u32).prop_map(|bit| 1 << bit),
        any::<usize>(),
        (0..300_usize).prop_map(|n| usize::MAX - n),
    ];
    prop::collection::vec(dimension, 0..5)
}

/// A tensor of random bytes: its type, a shape of whole blocks with some values, and the bytes.
fn weight() -> impl Strategy<Value = (DType, Vec<usize>, Vec<u8>)> {
    let dimensions = prop::collection::vec(1..4_usize, 1..4);
    (dtype(), dimensions).prop_flat_map(|(dtype, mut shape)| {
        *shape.last_mut().unwrap() *= dtype.block_len();
        let blocks = shape.iter().product::<usize>() / dtype.block_len();
        let bytes = prop::collection::vec(any::<u8>(), blocks * dtype.block_bytes());
        (Just(dtype), Just(shape), bytes)
    })
}

proptest! {
    #[test]
    fn a_size_is_exact_or_an_error(dtype in dtype(), shape in hostile_shape()) {
        let block = dtype.block_len() as u128;
        let columns = shape.last().map_or(1, |&n| n as u128);
        // In floating point, to which no product is too large.
        let values: f64 = shape.iter().map(|&n| n as f64).product();
        match Tensor::byte_size("t", dtype, &shape) {
            Ok(size) => {
                prop_assert_eq!(columns % block, 0);
                let exact: u128 = shape.iter().map(|&n| n as u128).product();
                prop_assert_eq!(size as u128, exact / block * dtype.block_bytes() as u128);
            }
            Err(CoreError::RaggedRow { .. }) => prop_assert!(columns % block != 0),
            Err(CoreError::ShapeOverflow { .. }) => {
                // Or a zero among dimensions whose product would not fit without it.
                let most = values.max(values * dtype.bits_per_value() / 8.0);
                prop_assert!(most >= usize::MAX as f64 * 0.999 || values == 0.0, "{shape:?}");
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn bytes_are_taken_only_as_many_as_the_shape_needs((dtype, shape, bytes) in weight(), extra in 1..9_usize) {
        let expected = bytes.len();
        for length in [expected - 1, expected + extra] {
            let mut bytes = bytes.clone();
            bytes.resize(length, 0);
            match Tensor::new("t", dtype, &shape, Storage::from_vec(bytes)) {
                Err(CoreError::SizeMismatch { expected: e, found, .. }) => {
                    prop_assert_eq!((e, found), (expected, length));
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    /// Rows, matrices of a stack and the whole array are views of the same values.
    #[test]
    fn every_way_to_the_values_leads_to_the_same((dtype, shape, bytes) in weight()) {
        let tensor = Tensor::new("t", dtype, &shape, Storage::from_vec(bytes)).unwrap();
        let array = tensor.to_array().unwrap();
        prop_assert_eq!(array.dim(), (tensor.rows(), tensor.columns()));
        prop_assert_eq!(tensor.len(), shape.iter().product::<usize>());

        let mut values = vec![0.0; tensor.columns()];
        for (index, row) in array.rows().into_iter().enumerate() {
            blocks::dequantize(dtype, tensor.row(index), &mut values);
            let same = row.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits());
            prop_assert!(same, "row {index}");
        }
        if shape.len() > 1 {
            for index in 0..shape[0] {
                let part = tensor.index(index).unwrap();
                prop_assert_eq!(part.shape(), &shape[1..]);
                prop_assert_eq!(part.row(0), tensor.row(index * part.rows()));
            }
        }
        let error = tensor.index(shape[0]).unwrap_err();
        let is_named = matches!(error, CoreError::NoSuchMatrix { count, .. } if count == shape[0]);
        prop_assert!(is_named);
    }

    #[test]
    fn a_slice_of_storage_is_the_slice_of_its_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        cuts in prop::collection::vec((0..400_usize, 0..400_usize), 1..4),
    ) {
        for storage in every_kind(&bytes) {
            let (mut storage, mut expected) = (storage, &bytes[..]);
            for &(offset, length) in &cuts {
                let range = offset..offset + length;
                match (storage.slice(offset, length), expected.get(range)) {
                    (Ok(part), Some(inside)) => (storage, expected) = (part, inside),
                    (Err(CoreError::OutOfRange { len, .. }), None) => prop_assert_eq!(len, expected.len()),
                    (found, _) => prop_assert!(false, "{offset} + {length}: {found:?}"),
                }
                storage.prefetch();
                storage.release();
                prop_assert_eq!(storage.as_slice(), expected);
                prop_assert_eq!((storage.len(), storage.is_empty()), (expected.len(), expected.is_empty()));
            }
        }
    }

    #[test]
    fn no_range_reaches_around_the_address_space(offset in any::<usize>(), length in any::<usize>()) {
        let storage = Storage::from_vec(vec![0; 10]);
        let fits = offset as u128 + length as u128 <= 10;
        prop_assert_eq!(storage.slice(offset, length).is_ok(), fits);
    }
}

#[test]
fn shapes_without_values_are_empty() {
    for shape in [&[0][..], &[0, 32], &[3, 0], &[2, 0, 32]] {
        let tensor = Tensor::new("t", DType::Q8_0, shape, Storage::from_vec(Vec::new())).unwrap();
        assert!(tensor.is_empty());
        assert_eq!(tensor.to_array().unwrap().len(), 0, "{shape:?}");
    }
    let scalar = Tensor::new("t", DType::F32, &[], Storage::from_vec(vec![0; 4])).unwrap();
    assert_eq!((scalar.rows(), scalar.columns()), (1, 1));
    assert!(scalar.index(0).is_err());
}

#[test]
fn an_unknown_type_is_answered_with_the_known_ones() {
    let text = DType::from_gguf_id(16).unwrap_err().to_string();
    assert!(text.starts_with("tensor type 16 cannot be read"), "{text}");
    assert!(text.contains("Q4_K, Q5_K, Q6_K"), "{text}");
}

/// The same bytes in memory, on a cache line, and in a file.
fn every_kind(bytes: &[u8]) -> [Storage; 3] {
    let mut aligned = AlignedBytes::zeroed(bytes.len());
    aligned.as_mut_slice().copy_from_slice(bytes);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    [
        Storage::from_vec(bytes.to_vec()),
        Storage::from_aligned(aligned),
        Storage::map(file.path()).unwrap(),
    ]
}
