//! A valid file, cut anywhere and changed anywhere.

use crate::bytes::valid;
use crate::{alone, parse, refused};
use dino_models::format::FormatError;
use proptest::prelude::*;

#[test]
fn the_file_is_valid_before_it_is_damaged() {
    let _alone = alone();
    let model = parse(&valid()).unwrap();
    assert_eq!((model.metadata.len(), model.weights.len()), (11, 3));
}

#[test]
fn every_truncation_is_refused() {
    let _alone = alone();
    let file = valid();
    // The padding behind the last tensor is no loss.
    let needed = file.len() - 16;
    for length in 0..needed {
        let error = refused(&file[..length]);
        let expected = match length {
            0..4 => matches!(error, FormatError::UnknownFormat { .. }),
            _ => matches!(
                error,
                FormatError::Truncated { .. }
                    | FormatError::TooMany { .. }
                    | FormatError::OutsideFile { .. }
            ),
        };
        assert!(expected, "cut to {length}: {error}");
    }
    for length in needed..=file.len() {
        parse(&file[..length]).unwrap();
    }
}

#[test]
fn every_changed_byte_is_survived() {
    let _alone = alone();
    let file = valid();
    let mut accepted = 0;
    for position in 0..file.len() {
        let mut damaged = file.clone();
        // Every bit, every bit at once, and the halves.
        for change in [1, 2, 4, 8, 16, 32, 64, 128, 0xff, 0x0f, 0xf0] {
            damaged[position] = file[position] ^ change;
            accepted += usize::from(parse(&damaged).is_ok());
        }
    }
    // Values and weights may be anything; structure may not.
    assert!(accepted > 0);
}

#[test]
fn every_8_bytes_may_become_an_extreme_number() {
    let _alone = alone();
    let file = valid();
    let extremes = [
        u64::MAX,
        u64::MAX - 7,
        u64::MAX / 2,
        1 << 63,
        1 << 61,
        1 << 60,
        1 << 32,
        u64::from(u32::MAX),
        1 << 31,
        0,
    ];
    for position in 0..file.len() - 8 {
        for extreme in extremes {
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
        mut file in Just(valid()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
    ) {
        let _alone = alone();
        for (position, byte) in changes {
            let position = position.index(file.len());
            file[position] = byte;
        }
        // A run of bytes repeated, and the rest shifted.
        let (cut, from) = (cut.index(file.len()), from.index(file.len()));
        let spliced = [&file[..cut], &file[from..]].concat();
        let _ = parse(&file);
        let _ = parse(&spliced);
    }

    #[test]
    fn random_bytes_behind_the_magic_are_survived(tail in prop::collection::vec(any::<u8>(), 0..256)) {
        let _alone = alone();
        let _ = parse(&[b"GGUF\x03\0\0\0", &tail[..]].concat());
    }
}
