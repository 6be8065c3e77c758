//! Configurations that lie.

use crate::{Scratch, alone, golden};
use serde_json::{Map, Value as Json, json};
use std::path::PathBuf;

const FILE: &str = "config.json";

/// Every folder of a tiny model.
fn folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(golden("tiny_architectures")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = paths.filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(folders.len() > 20, "{folders:?}");
    folders
}

/// Values of every type, and numbers beyond every size.
fn extremes() -> Vec<Json> {
    vec![
        json!(0),
        json!(1),
        json!(-1),
        json!(3),
        json!(1000),
        json!(i32::MAX),
        json!(u32::MAX),
        json!(1_u64 << 40),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e308),
        json!(-0.5),
        json!(1e-320),
        json!("Infinity"),
        json!("NaN"),
        json!("text"),
        json!(""),
        json!(true),
        json!(null),
        json!([]),
        json!([1_u64 << 40, -1]),
        json!(["x", 1]),
        json!({}),
        json!({"x": [{"y": 1}]}),
    ]
}

#[test]
fn every_truncation_is_refused() {
    let _alone = alone();
    let folder = Scratch::of(&golden("tiny/bias"));
    let bytes = folder.read(FILE);
    for cut in 0..bytes.trim_ascii_end().len() {
        folder.write(FILE, &bytes[..cut]);
        assert!(folder.refused().contains(FILE), "cut to {cut}");
    }
}

/// Each key of each architecture's configuration becomes extreme, in a fourth of the ways for each architecture in turn:
/// it is refused, or the model can be built.
#[test]
fn no_value_of_any_key_is_too_much() {
    let _alone = alone();
    for (turn, golden) in folders().into_iter().enumerate() {
        let folder = Scratch::of(&golden);
        let config = folder.json(FILE);
        let mut refused = 0;
        for (key, old) in config.as_object().unwrap() {
            for value in extremes().iter().skip(turn % 4).step_by(4) {
                let mut edited = config.clone();
                edited[key] = value.clone();
                folder.write(FILE, edited.to_string());
                refused += usize::from(folder.load().is_err());
                // One level down too: rope_scaling and the like.
                for inner in old.as_object().into_iter().flat_map(Map::keys) {
                    let mut edited = config.clone();
                    edited[key][inner] = value.clone();
                    folder.write(FILE, edited.to_string());
                    refused += usize::from(folder.load().is_err());
                }
            }
        }
        assert!(refused > 10, "{}", golden.display());
    }
}

#[test]
fn configurations_that_grow_when_read_are_refused() {
    let _alone = alone();
    let folder = Scratch::of(&golden("tiny/bias"));
    // Every key inside would carry the long one: 400 KB make 16 GB.
    let entries: Vec<String> = (0..20_000).map(|i| format!("\"{i}\":1")).collect();
    let long = "k".repeat(200_000);
    folder.write(FILE, format!("{{\"{long}\":{{{}}}}}", entries.join(",")));
    assert!(folder.refused().contains(FILE));
    folder.write(FILE, "{\"a\":".repeat(100_000));
    assert!(folder.refused().contains(FILE));
    let sparse = std::fs::File::create(folder.path(FILE)).unwrap();
    sparse.set_len(1 << 40).unwrap();
    assert!(folder.refused().contains("claims 1099511627776 bytes"));
}

#[test]
fn other_json_than_a_configuration_is_refused() {
    let _alone = alone();
    let folder = Scratch::of(&golden("tiny/bias"));
    for config in [
        json!(null),
        json!([]),
        json!(7),
        json!({}),
        json!({"model_type": 1}),
        json!({"model_type": ["llama"]}),
        json!({"model_type": "unheard"}),
        json!({"model_type": "llama"}),
    ] {
        folder.write(FILE, config.to_string());
        assert!(folder.refused().contains(FILE), "{config}");
    }
    folder.write(FILE, b"{\"model_type\": \"\xff\"}");
    assert!(folder.refused().contains(FILE));
}
