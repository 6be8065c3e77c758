//! Files whose parts are well formed and do not go together.

use crate::bytes::{ARRAY, BOOL, Lay, STRING, U32, array, string};
use crate::{alone, parse, refused};
use dino_core::CoreError;
use dino_models::format::FormatError;

const F32: u32 = 0;
const Q8_0: u32 = 8;

/// Asserts that the bytes are refused with the error that the pattern names.
macro_rules! assert_refused {
    ($bytes:expr, $($error:tt)+) => {{
        let error = refused(&$bytes);
        assert!(matches!(error, $($error)+), "{error:?}");
    }};
}

fn one(dims: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    Lay::default()
        .tensor("t", dims, kind, offset)
        .data(256)
        .bytes()
}

#[test]
fn versions_and_byte_orders() {
    let _alone = alone();
    let mut file = one(&[2], F32, 0);
    for version in [0_u32, 1, 4, u32::MAX] {
        file[4..8].copy_from_slice(&version.to_le_bytes());
        assert_refused!(file, FormatError::Version { found, .. } if found == version);
    }
    file[4..8].copy_from_slice(&3_u32.to_be_bytes());
    let big_endian = refused(&file).to_string();
    assert!(big_endian.contains("big-endian"), "{big_endian}");
    file[4..8].copy_from_slice(&2_u32.to_le_bytes());
    parse(&file).unwrap();
}

#[test]
fn value_types() {
    let _alone = alone();
    let with = |kind, value: &[u8]| Lay::default().key("k", kind, value).bytes();
    for kind in [13, 255, u32::MAX] {
        assert_refused!(with(kind, &[]), FormatError::UnknownValueType { found, .. } if found == kind);
        let inner = array(kind, 1, &[0; 8]);
        assert_refused!(with(ARRAY, &inner), FormatError::UnknownValueType { .. });
    }
    assert_refused!(with(BOOL, &[2]), FormatError::BadBool { found: 2, .. });
    let bools = array(BOOL, 3, &[1, 0, 9]);
    assert_refused!(with(ARRAY, &bools), FormatError::BadBool { found: 9, .. });
    // A value may be any bytes until it is asked for as text; a name may not.
    let model = parse(&with(STRING, &string(b"\xff"))).unwrap();
    let error = model.metadata.get::<&str>("k").unwrap_err();
    assert!(matches!(error, FormatError::WrongType { .. }), "{error}");
    let mut file = with(U32, &[0; 4]);
    file[32] = 0xff;
    assert_refused!(file, FormatError::NotUtf8 { .. });
}

#[test]
fn duplicate_names() {
    let _alone = alone();
    let file = Lay::default().key("k", U32, &[0; 4]).key("k", BOOL, &[0]);
    assert_refused!(file.bytes(), FormatError::DuplicateKey { ref key, .. } if key == "k");
    let file = Lay::default()
        .tensor("t", &[1], F32, 0)
        .tensor("t", &[1], F32, 32);
    assert_refused!(
        file.data(64).bytes(),
        FormatError::DuplicateTensor { ref tensor, .. } if tensor == "t"
    );
}

#[test]
fn alignments() {
    let _alone = alone();
    let with = |alignment: u32, offset| {
        Lay::default()
            .key("general.alignment", U32, &alignment.to_le_bytes())
            .tensor("t", &[2], F32, offset)
            .data(256)
            .bytes()
    };
    for alignment in [0, 3, 33, u32::MAX] {
        assert_refused!(
            with(alignment, 0),
            FormatError::BadAlignment { found, .. } if found == alignment as usize
        );
    }
    for alignment in [1, 2, 32, 64] {
        parse(&with(alignment, 64)).unwrap();
    }
    assert_refused!(with(64, 32), FormatError::Misaligned { alignment: 64, .. });
    assert_refused!(with(1 << 31, 0), FormatError::OutsideFile { .. });
    let text = Lay::default().key("general.alignment", STRING, &string(b"32"));
    assert_refused!(text.bytes(), FormatError::WrongType { .. });
    let wide = (1_u64 << 63).to_le_bytes();
    let wide = Lay::default()
        .key("general.alignment", 10, &wide)
        .tensor("t", &[2], F32, 0);
    assert_refused!(wide.data(256).bytes(), FormatError::OutsideFile { .. });
}

#[test]
fn dimensions() {
    let _alone = alone();
    for rank in [0, 5, 6] {
        let dims = vec![1; rank];
        assert_refused!(one(&dims, F32, 0), FormatError::BadRank { found, .. } if found == rank as u32);
    }
    assert_refused!(
        one(&[0], F32, 0),
        FormatError::BadDimension { found: 0, .. }
    );
    assert_refused!(one(&[4, 0, 2], F32, 0), FormatError::BadDimension { .. });
    for dims in [
        vec![u64::MAX],
        vec![1 << 62],
        vec![1 << 32, 1 << 32],
        vec![1 << 16; 4],
        vec![u64::MAX; 4],
        vec![1, 1 << 63, 2],
    ] {
        assert_refused!(
            one(&dims, F32, 0),
            FormatError::Tensor {
                source: CoreError::ShapeOverflow { .. },
                ..
            }
        );
    }
    assert_refused!(
        one(&[1 << 63], Q8_0, 0),
        FormatError::OutsideFile {
            needed: 0x8800_0000_0000_0000,
            ..
        }
    );
    assert_refused!(
        one(&[33], Q8_0, 0),
        FormatError::Tensor {
            source: CoreError::RaggedRow { .. },
            ..
        }
    );
    assert_refused!(one(&[1 << 40], F32, 0), FormatError::OutsideFile { .. });
    assert_eq!(
        parse(&one(&[3, 2], F32, 0))
            .unwrap()
            .weights
            .get("t")
            .unwrap()
            .shape(),
        [2, 3]
    );
}

#[test]
fn offsets() {
    let _alone = alone();
    for offset in [256, 1 << 40, 1 << 63, u64::MAX - 31] {
        assert_refused!(one(&[2], F32, offset), FormatError::OutsideFile { .. });
    }
    for offset in [1, 31, 33, u64::MAX] {
        assert_refused!(one(&[2], F32, offset), FormatError::Misaligned { .. });
    }
    parse(&one(&[8], F32, 224)).unwrap();
    assert_refused!(
        one(&[9], F32, 224),
        FormatError::OutsideFile {
            needed: 36,
            available: 256,
            ..
        }
    );
}

#[test]
fn overlaps() {
    let _alone = alone();
    let two = |first: (u64, u64), second: (u64, u64)| {
        Lay::default()
            .tensor("a", &[first.0], F32, first.1)
            .tensor("b", &[second.0], F32, second.1)
            .data(256)
            .bytes()
    };
    parse(&two((8, 0), (8, 32))).unwrap();
    parse(&two((8, 32), (8, 0))).unwrap();
    for file in [
        two((9, 0), (8, 32)),
        two((8, 32), (9, 0)),
        two((1, 64), (1, 64)),
    ] {
        assert_refused!(file, FormatError::Overlap { .. });
    }
}

#[test]
fn tensor_types() {
    let _alone = alone();
    assert_refused!(
        one(&[256], 16, 0),
        FormatError::UnknownTensorType {
            number: 16,
            name: Some("IQ2_XXS"),
            ..
        }
    );
    for number in [4, 42, 1000, u32::MAX] {
        let error = refused(&one(&[256], number, 0));
        assert!(error.to_string().contains(&number.to_string()), "{error}");
    }
}

#[test]
fn a_vocabulary_needs_no_tensor() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.gguf");
    std::fs::write(&path, one(&[256], 16, 0)).unwrap();
    let model = dino_models::format::ModelFile::open_vocabulary(path).unwrap();
    assert!(model.weights.is_empty());
}

#[test]
fn parts_of_nothing() {
    let _alone = alone();
    let split = |number: u16, count: u16| {
        let lay = Lay::default().key("split.no", 2, &number.to_le_bytes());
        lay.key("split.count", 2, &count.to_le_bytes()).bytes()
    };
    parse(&split(0, 1)).unwrap();
    parse(&split(0, 0)).unwrap();
    assert_refused!(
        split(0, u16::MAX),
        FormatError::PartName { count: 65_535, .. }
    );
    assert_refused!(split(7, 3), FormatError::NotFirstPart { .. });
    let wide = Lay::default().key("split.count", 10, &u64::MAX.to_le_bytes());
    assert_refused!(wide.bytes(), FormatError::WrongType { .. });
}
