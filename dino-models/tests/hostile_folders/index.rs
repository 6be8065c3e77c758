//! Indexes that lie, and shards that are not there.

use crate::{Scratch, alone, golden};
use serde_json::{Value as Json, json};

const INDEX: &str = "model.safetensors.index.json";

fn scratch() -> Scratch {
    let folder = Scratch::of(&golden("tiny/split"));
    folder.load().unwrap();
    folder
}

fn refused_with(folder: &Scratch, edit: impl FnOnce(&mut Json)) -> String {
    let sound = folder.read(INDEX);
    let mut index = folder.json(INDEX);
    edit(&mut index);
    folder.write(INDEX, index.to_string());
    let told = folder.refused();
    folder.write(INDEX, sound);
    told
}

/// The tensors of the index, and the shard of the first.
fn names(folder: &Scratch) -> (Vec<String>, String) {
    let index = folder.json(INDEX);
    let map = index["weight_map"].as_object().unwrap();
    let shard = map.values().next().unwrap().as_str().unwrap();
    (map.keys().cloned().collect(), shard.into())
}

#[test]
fn every_truncation_is_refused() {
    let _alone = alone();
    let folder = scratch();
    let bytes = folder.read(INDEX);
    let end = bytes.trim_ascii_end().len();
    for cut in 0..end {
        folder.write(INDEX, &bytes[..cut]);
        assert!(folder.refused().contains(INDEX), "cut to {cut}");
    }
}

#[test]
fn files_outside_the_folder_are_not_opened() {
    let _alone = alone();
    let folder = scratch();
    let (names, shard) = names(&folder);
    // It lies there, so that following the path would find it.
    let inside = format!("{}/{shard}", folder.0.path().display());
    let name = folder.0.path().file_name().unwrap().to_str().unwrap();
    for path in [
        &inside,
        &format!("../{name}/{shard}"),
        &format!("./{shard}"),
        &format!("{shard}/"),
        &format!("..\\{name}\\{shard}"),
        "..",
        ".",
        "",
        "/etc/passwd",
        "../x",
    ] {
        let told = refused_with(&folder, |index| {
            for name in &names {
                index["weight_map"][name] = path.into();
            }
        });
        let expected = "the name of a file in the folder";
        assert!(told.contains(expected), "{path}: {told}");
    }
    for path in ["absent.safetensors", "a\0b", "config.json", INDEX] {
        let told = refused_with(&folder, |index| {
            index["weight_map"][&names[0]] = path.into();
        });
        assert!(!told.is_empty());
    }
}

#[test]
fn other_json_than_an_index_is_refused() {
    let _alone = alone();
    let folder = scratch();
    for index in [
        json!(null),
        json!([]),
        json!({}),
        json!({"weight_map": null}),
        json!({"weight_map": []}),
        json!({"weight_map": {"a": 1}}),
        json!({"weight_map": {"a": null}}),
        json!({"weight_map": {"a": ["model.safetensors"]}}),
        json!({"weight_map": {}}),
    ] {
        assert!(!refused_with(&folder, |old| *old = index.clone()).is_empty());
    }
    folder.write(INDEX, "[".repeat(1 << 20));
    assert!(folder.refused().contains("JSON"));
}

#[test]
fn shards_and_index_have_to_agree() {
    let _alone = alone();
    let folder = scratch();
    let (names, shard) = names(&folder);
    let more = refused_with(&folder, |index| {
        index["weight_map"]["more"] = shard.clone().into();
    });
    assert!(more.contains("`more` is missing"), "{more}");
    let index = folder.json(INDEX);
    let map = index["weight_map"].as_object().unwrap();
    let of = |name: &String| map.values().filter(|&file| *file == map[name]).count();
    let shared = names.iter().find(|&name| of(name) > 1).unwrap();
    let fewer = refused_with(&folder, |index| {
        index["weight_map"].as_object_mut().unwrap().remove(shared);
    });
    assert!(fewer.contains(shared), "{fewer}");
    std::fs::remove_file(folder.path(&shard)).unwrap();
    assert!(folder.refused().contains(&shard));
    std::fs::create_dir(folder.path(&shard)).unwrap();
    assert!(folder.refused().contains(&shard));
}
