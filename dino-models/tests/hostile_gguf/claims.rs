//! Counts and lengths that the file cannot hold, and files that hold as many things as they may.

use crate::bytes::{ARRAY, BOOL, Lay, STRING, U8, U32, array, string};
use crate::{alone, parse_within, refused};
use dino_models::format::FormatError;

const LARGE: [u64; 7] = [
    u64::MAX,
    u64::MAX - 1,
    u64::MAX / 8 + 1,
    1 << 63,
    1 << 62,
    1 << 40,
    1 << 20,
];

#[track_caller]
fn too_many(bytes: &[u8]) {
    let error = refused(bytes);
    assert!(matches!(error, FormatError::TooMany { .. }), "{error}");
}

#[test]
fn counts_beyond_the_file_are_refused() {
    let _alone = alone();
    for claimed in LARGE {
        let lay = || Lay::default().key("a", U8, &[1]).data(4096);
        too_many(&lay().claim(Some(claimed), None).bytes());
        too_many(&lay().claim(None, Some(claimed)).bytes());
    }
}

#[test]
fn lengths_beyond_the_file_are_refused() {
    let _alone = alone();
    for claimed in LARGE {
        let length = claimed.to_le_bytes();
        let with = |kind, value: &[u8]| Lay::default().key("a", kind, value).data(4096).bytes();
        too_many(&with(STRING, &length));
        for element in [U8, U32, BOOL, STRING, ARRAY, 12] {
            too_many(&with(ARRAY, &array(element, claimed, &[])));
        }
        too_many(&with(ARRAY, &array(STRING, 1, &length)));
        too_many(&with(ARRAY, &array(ARRAY, 1, &array(U32, claimed, &[]))));
        // The name of a key, the name of a tensor.
        let start = |tensors: u64, keys: u64| {
            let counts = [tensors.to_le_bytes(), keys.to_le_bytes()].concat();
            [b"GGUF\x02\0\0\0", &counts[..], &length, &[0; 4096]].concat()
        };
        too_many(&start(0, 1));
        too_many(&start(1, 0));
    }
}

#[test]
fn a_name_has_a_limit() {
    let _alone = alone();
    let long = "x".repeat(1 << 16);
    too_many(&Lay::default().key(&long, U8, &[1]).bytes());
    too_many(&Lay::default().tensor(&long, &[1], 0, 0).data(4).bytes());
}

#[test]
fn arrays_nest_four_deep_at_most() {
    let _alone = alone();
    let nest = |depth| (1..depth).fold(array(U8, 0, &[]), |inner, _| array(ARRAY, 1, &inner));
    let file = |depth| Lay::default().key("a", ARRAY, &nest(depth)).bytes();
    for depth in 1..=4 {
        parse_within(&file(depth), 1 << 16).unwrap();
    }
    for depth in [5, 6, 100, 100_000] {
        let error = refused(&file(depth));
        assert!(
            matches!(error, FormatError::NestedTooDeep { .. }),
            "{error}"
        );
    }
}

/// What a file of as many small things as possible may take beyond its own size.
const CONSTANT: usize = 48 << 20;

#[test]
fn as_many_keys_as_possible_take_a_bounded_memory() {
    let _alone = alone();
    let keys = |count: usize| {
        let lay = Lay::default();
        (0..count)
            .fold(lay, |lay, i| lay.key(&format!("{i:x}"), U8, &[0]))
            .bytes()
    };
    assert_eq!(
        parse_within(&keys(1 << 16), CONSTANT)
            .unwrap()
            .metadata
            .len(),
        1 << 16
    );
    too_many(&keys((1 << 16) + 1));
}

#[test]
fn as_many_tensors_as_possible_take_a_bounded_memory() {
    let _alone = alone();
    let tensors = |count: usize| {
        let add = |lay: Lay, i| lay.tensor(&format!("{i:x}"), &[1, 1, 1, 1], 0, 32 * i as u64);
        (0..count)
            .fold(Lay::default(), add)
            .data(32 * count)
            .bytes()
    };
    assert_eq!(
        parse_within(&tensors(1 << 16), CONSTANT)
            .unwrap()
            .weights
            .len(),
        1 << 16
    );
    too_many(&tensors((1 << 16) + 1));
}

#[test]
fn as_many_arrays_as_possible_take_a_bounded_memory() {
    let _alone = alone();
    let arrays = |count: usize| {
        let inner = array(U8, 0, &[]).repeat(count);
        Lay::default()
            .key("a", ARRAY, &array(ARRAY, count as u64, &inner))
            .bytes()
    };
    parse_within(&arrays(1 << 16), CONSTANT).unwrap();
    too_many(&arrays((1 << 16) + 1));
}

#[test]
fn a_vocabulary_of_empty_strings_takes_no_more_than_its_bytes() {
    let _alone = alone();
    let strings = string(b"").repeat(1 << 20);
    let file = Lay::default()
        .key("a", ARRAY, &array(STRING, 1 << 20, &strings))
        .bytes();
    parse_within(&file, 1 << 16).unwrap();
}
