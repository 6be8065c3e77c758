//! A valid file with a tensor that is stored without its zeros, cut anywhere and changed anywhere.

use crate::{alone, parse, refused};
use dino_core::{DType, SparseTensor, Storage, Tensor};
use dino_models::format::gguf::{TensorInfo, Writer};
use dino_models::format::{FormatError, Metadata};
use proptest::prelude::*;

/// A file of one tensor of each type that can be sparse; a third of the codes are zero.
fn valid() -> Vec<u8> {
    let tensor = |dtype: DType| {
        let shape = [3, 64];
        let mut bytes = vec![0_u8; Tensor::byte_size("t", dtype, &shape).unwrap()];
        for (i, byte) in bytes.iter_mut().enumerate() {
            // In Q4_0 the code 8 means zero.
            *byte = [0x88, 0, 0x5c][i % 3] ^ (i / 50) as u8;
        }
        Tensor::new(dtype.name(), dtype, &shape, Storage::from_vec(bytes)).unwrap()
    };
    let tensors = [tensor(DType::Q8_0), tensor(DType::Q4_0)];
    let infos = tensors.each_ref().map(|tensor| TensorInfo {
        name: tensor.name().into(),
        dtype: tensor.dtype(),
        shape: tensor.shape().to_vec(),
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse.gguf");
    let mut writer = Writer::create(&path, &Metadata::new("sparse"), &infos).unwrap();
    for tensor in &tensors {
        let sparse = SparseTensor::encode(tensor).unwrap();
        writer.sparse_tensor(&sparse).unwrap();
    }
    writer.finish().unwrap();
    std::fs::read(&path).unwrap()
}

#[test]
fn every_truncation_is_refused() {
    let _alone = alone();
    let file = valid();
    assert_eq!(parse(&file).unwrap().weights.len(), 2);
    // Behind the last code there is padding.
    let needed = (1..file.len())
        .rev()
        .find(|&n| parse(&file[..n]).is_err())
        .unwrap()
        + 1;
    assert!(file.len() - needed < 32);
    for length in 4..needed {
        let error = refused(&file[..length]);
        let expected = matches!(
            error,
            FormatError::Truncated { .. }
                | FormatError::TooMany { .. }
                | FormatError::OutsideFile { .. }
                | FormatError::Tensor { .. }
        );
        assert!(expected, "cut to {length}: {error}");
    }
}

#[test]
fn every_changed_byte_is_survived() {
    let _alone = alone();
    let file = valid();
    for position in 0..file.len() {
        let mut damaged = file.clone();
        for change in [1, 2, 4, 8, 16, 32, 64, 128, 0xff, 0x0f, 0xf0] {
            damaged[position] = file[position] ^ change;
            let _ = parse(&damaged);
        }
    }
}

#[test]
fn every_8_bytes_may_become_an_extreme_number() {
    let _alone = alone();
    let file = valid();
    for position in 0..file.len() - 8 {
        for extreme in [u64::MAX, u64::MAX / 2, 1 << 63, 1 << 32, 1 << 31, 0] {
            let mut damaged = file.clone();
            damaged[position..position + 8].copy_from_slice(&extreme.to_le_bytes());
            let _ = parse(&damaged);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_damage_is_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
    ) {
        let _alone = alone();
        let mut file = valid();
        for (position, byte) in changes {
            let position = position.index(file.len());
            file[position] = byte;
        }
        let (cut, from) = (cut.index(file.len()), from.index(file.len()));
        let _ = parse(&[&file[..cut], &file[from..]].concat());
        let _ = parse(&file);
    }
}
