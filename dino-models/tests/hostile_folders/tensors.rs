//! Safetensors files that lie.

use crate::{Scratch, alone, golden};
use serde_json::{Value as Json, json};

const FILE: &str = "model.safetensors";

fn scratch() -> Scratch {
    Scratch::of(&golden("tiny/bias"))
}

/// A file of `header` and `data`.
fn file(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

/// The file with its header changed.
fn edited(folder: &Scratch, edit: impl FnOnce(&mut Json)) -> Vec<u8> {
    let bytes = folder.read(FILE);
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let mut header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    edit(&mut header);
    file(header.to_string().as_bytes(), &bytes[8 + length..])
}

/// The name of the tensor whose data comes first.
fn first(header: &Json) -> String {
    let tensors = header.as_object().unwrap().iter();
    let mut tensors = tensors.filter(|(name, _)| *name != "__metadata__");
    let found = tensors.find(|(_, entry)| entry["data_offsets"][0] == 0);
    found.unwrap().0.clone()
}

#[test]
fn every_truncation_is_refused() {
    let _alone = alone();
    let folder = scratch();
    folder.load().unwrap();
    let bytes = folder.read(FILE);
    let length = 8 + usize::from_le_bytes(bytes[..8].try_into().unwrap());
    // Everywhere around the ends of the header, and here and there.
    let cuts = (0..300).chain((300..bytes.len()).step_by(97));
    let cuts = cuts.chain(length - 200..length + 64);
    for cut in cuts.chain([bytes.len() - 1]) {
        folder.write(FILE, &bytes[..cut]);
        assert!(folder.refused().contains(FILE), "cut to {cut}");
    }
    folder.write(FILE, [&bytes[..], &[0]].concat());
    assert!(folder.refused().contains(FILE), "one byte too many");
}

#[test]
fn lengths_of_the_header_are_not_believed() {
    let _alone = alone();
    let folder = scratch();
    let bytes = folder.read(FILE);
    let size = bytes.len() as u64;
    for claimed in [
        u64::MAX,
        u64::MAX - 7,
        u64::MAX - 8,
        1 << 63,
        (1 << 63) - 1,
        1 << 32,
        100_000_001,
        size,
        size - 7,
    ] {
        let mut damaged = bytes.clone();
        damaged[..8].copy_from_slice(&claimed.to_le_bytes());
        folder.write(FILE, damaged);
        let told = folder.refused();
        assert!(told.contains(&format!("claims {claimed} bytes")), "{told}");
    }
    for claimed in [0, 1, size - 8] {
        let mut damaged = bytes.clone();
        damaged[..8].copy_from_slice(&claimed.to_le_bytes());
        folder.write(FILE, damaged);
        assert!(folder.refused().contains("JSON"));
    }
}

#[test]
fn every_changed_byte_of_the_header_is_survived() {
    let _alone = alone();
    let folder = scratch();
    let bytes = folder.read(FILE);
    let length = 8 + usize::from_le_bytes(bytes[..8].try_into().unwrap());
    for position in 0..length.min(400) {
        for change in [1, 8, 32, 0xff] {
            let mut damaged = bytes.clone();
            damaged[position] ^= change;
            folder.write(FILE, damaged);
            let _ = folder.load();
        }
    }
}

#[test]
fn places_and_shapes_that_lie_are_refused() {
    let _alone = alone();
    let folder = scratch();
    let size = folder.read(FILE).len();
    let max = u64::MAX;
    for (field, value) in [
        ("data_offsets", json!([0, 0])),
        ("data_offsets", json!([4, 8])),
        ("data_offsets", json!([8, 4])),
        ("data_offsets", json!([0, size * 2])),
        ("data_offsets", json!([0, max])),
        ("data_offsets", json!([max, 0])),
        ("data_offsets", json!([max, max])),
        ("data_offsets", json!([max - 3, max])),
        ("shape", json!([])),
        ("shape", json!([0])),
        ("shape", json!([1])),
        ("shape", json!([max])),
        ("shape", json!([1_u64 << 62, 4])),
        ("shape", json!([1_u64 << 32, 1_u64 << 32])),
        ("shape", json!([1_u64 << 63, 2, 1])),
        ("shape", json!(vec![2; 4000])),
        ("dtype", json!("F64")),
        ("dtype", json!("I64")),
        ("dtype", json!("F4")),
        ("dtype", json!("")),
    ] {
        let damaged = edited(&folder, |header| {
            let name = first(header);
            header[name][field] = value.clone();
        });
        let sound = folder.read(FILE);
        folder.write(FILE, damaged);
        let told = folder.refused();
        assert!(told.contains(FILE), "{field} {value}: {told}");
        folder.write(FILE, sound);
    }
}

#[test]
fn tensors_do_not_overlap_and_leave_no_gap() {
    let _alone = alone();
    let folder = scratch();
    let sound = folder.read(FILE);
    let two = |from: usize, to: usize, end: usize| {
        let header = json!({
            "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "b": {"dtype": "F32", "shape": [2], "data_offsets": [from, to]},
        });
        folder.write(FILE, file(header.to_string().as_bytes(), &vec![0; end]));
        folder.refused()
    };
    assert!(two(4, 12, 12).contains("where the data before it ends"));
    assert!(two(0, 8, 8).contains("where the data before it ends"));
    assert!(two(12, 20, 20).contains("where the data before it ends"));
    assert!(two(8, 16, 20).contains("size of the data"));
    assert!(two(8, 16, 12).contains("has 12"));
    folder.write(FILE, sound);
    folder.load().unwrap();
}

#[test]
fn other_json_than_a_header_is_refused() {
    let _alone = alone();
    let folder = scratch();
    let entry = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let nested = "[".repeat(100_000);
    for header in [
        "",
        "null",
        "[]",
        "7",
        "{",
        "\u{feff}{}",
        r#"{"a":null}"#,
        r#"{"a":[]}"#,
        r#"{"a":{}}"#,
        r#"{"a":{"dtype":4,"shape":[1],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":"0,4"}}"#,
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,1e99]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}"#,
        r#"{"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}"#,
        &format!(r#"{{"a":{entry},"a":{entry}}}"#),
        &format!(r#"{{"a":{entry}"#),
        &format!(r#"{{"a":{nested}"#),
        &format!(r#"{{"__metadata__":{nested}"#),
    ] {
        folder.write(FILE, file(header.as_bytes(), &[0; 4]));
        assert!(folder.refused().contains(FILE), "{header:.80}");
    }
    folder.write(FILE, file(b"{\"a\xff\":{}}", &[]));
    assert!(folder.refused().contains("JSON"));
}
