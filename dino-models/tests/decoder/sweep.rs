//! A loader that never guesses: each key and each tensor of each tiny model is lost, renamed or changed, in both formats.
//!
//! What becomes of a changed key `transformers` says (`tools/tiny_sweep.py`): where its logits stay the same ours must
//! too, where they become others ours must become those, and where it refuses we refuse, or the key changes nothing. An
//! error of ours must name the key, or the tensor that no longer fits.

use crate::common::{Runner, build_with, path};
use dino_kernels::Compute;
use dino_models::arch::Registry;
use serde_json::Value;
use std::path::{Path, PathBuf};

const MODELS: &str = "../tiny_architectures";

/// A folder with the safetensors file of another one, and a configuration of its own.
struct Copy(tempfile::TempDir);

impl Copy {
    fn of(folder: &Path) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        Self(copy)
    }

    fn write(&self, config: &Value) {
        let text = serde_json::to_vec(config).unwrap();
        std::fs::write(self.0.path().join("config.json"), text).unwrap();
    }

    /// Logits of the last of `ids`, or the error that loading gives.
    fn logits(&self, compute: &Compute, ids: &[u32]) -> Result<Vec<f32>, String> {
        let file = Registry::default().open(self.0.path());
        let file = file.map_err(|error| error.to_string())?;
        let model = build_with(&file, compute, true, Some(ids.len()));
        let model = model.map_err(|error| error.to_string())?;
        let mut runner = Runner::with(model, 1);
        let sequence = runner.cache.add();
        let logits = runner.chunks(sequence, ids, ids.len());
        Ok(logits.row(ids.len() - 1).to_vec())
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Sets the key, whose parts have dots between them, or takes it out.
fn set(config: &mut Value, key: &str, value: &Value) {
    let (parents, last) = key.rsplit_once('.').unwrap_or(("", key));
    let mut place = config;
    for part in parents.split('.').filter(|part| !part.is_empty()) {
        place = &mut place[part];
    }
    let place = place.as_object_mut().unwrap();
    match value {
        Value::Null => place.remove(last),
        value => place.insert(last.into(), value.clone()),
    };
}

/// Keys that a change of another one contradicts: an error may name either.
const RELATED: [(&str, &str); 15] = [
    ("hidden_size", "embedding_length"),
    ("hidden_size", "head_dim"),
    ("n_embd", "embedding_length"),
    ("num_hidden_layers", "layer_types"),
    ("head_dim", "dimension_count"),
    ("head_dim", "query_pre_attn_scalar"),
    ("num_attention_heads", "num_key_value_heads"),
    ("num_attention_heads", "partial_rotary_factor"),
    ("rope_type", "rope_parameters."),
    ("layer_types", "sliding_window"),
    ("num_experts", "expert_count"),
    ("num_local_experts", "expert_count"),
    ("intermediate_size", "block_ff_dim"),
    ("expand", "head_dim"),
    ("linear_num_key_heads", "linear_num_value_heads"),
];

/// Whether an error's message says where something is wrong: at the key, at one that it contradicts, or at a tensor that
/// no longer fits.
fn names(message: &str, key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap();
    let related = RELATED.iter().filter(|(changed, _)| *changed == last);
    message.contains(last)
        || ["tensor `", "tensors are not used"]
            .iter()
            .any(|place| message.contains(place))
        || related
            .into_iter()
            .any(|(_, named)| message.contains(named))
}

/// What is wrong with ours, if anything.
fn judge(outcome: &Value, untouched: &[f32], found: Result<Vec<f32>, String>, key: &str) -> String {
    let found = match found {
        Err(message) if names(&message, key) => return String::new(),
        Err(message) => return format!("the error does not name it: {message}"),
        Ok(found) => found,
    };
    let same = found == untouched;
    match outcome {
        Value::String(_) if same => String::new(),
        Value::String(outcome) => format!("transformers: {outcome}, here: other numbers"),
        Value::Array(expected) => {
            let pairs = expected.iter().map(|x| x.as_f64().unwrap()).zip(&found);
            let far = pairs
                .map(|(x, y)| (x - f64::from(*y)).abs())
                .fold(0.0, f64::max);
            match far < 1e-3 {
                true => String::new(),
                false => {
                    format!("{far} from transformers' {expected:?} (the same as before: {same})")
                }
            }
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_changed_key_does_what_it_does_in_transformers() {
    let compute = Compute::new(1).unwrap();
    let index = json(&path(&format!("{MODELS}/index.json")));
    let sweep = json(&path(&format!("{MODELS}/sweep.json")));
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for entry in index.as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let folder = path(&format!("{MODELS}/{name}"));
        if !folder.is_dir() {
            continue;
        }
        let cases = sweep[name].as_object().unwrap();
        let ids: Vec<u32> = serde_json::from_value(entry["ids"].clone()).unwrap();
        let (copy, config) = (Copy::of(&folder), json(&folder.join("config.json")));
        let untouched = copy.logits(&compute, &ids).unwrap();
        for (key, cases) in cases {
            for case in cases.as_array().unwrap() {
                let mut changed = config.clone();
                set(&mut changed, key, &case[0]);
                copy.write(&changed);
                let found = copy.logits(&compute, &ids);
                tried += 1;
                let verdict = judge(&case[1], &untouched, found, key);
                if !verdict.is_empty() {
                    wrong.push(format!("{name}, {key} = {}: {verdict}", case[0]));
                }
            }
        }
    }
    assert!(tried > 1500, "{tried}");
    assert!(
        wrong.is_empty(),
        "{} of {tried}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The header of a safetensors file, and what is behind it.
fn split(bytes: &[u8]) -> (Value, Vec<u8>) {
    let (length, rest) = bytes.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    (serde_json::from_slice(header).unwrap(), data.to_vec())
}

fn join(header: &Value, data: &[u8]) -> Vec<u8> {
    let header = serde_json::to_vec(header).unwrap();
    let length = (header.len() as u64).to_le_bytes();
    [&length, header.as_slice(), data].concat()
}

/// The file without the tensor `name`: tensors may leave no gap.
fn without(header: &Value, data: &[u8], name: &str) -> Vec<u8> {
    let mut kept = serde_json::Map::new();
    let mut bytes = Vec::new();
    for (other, info) in header.as_object().unwrap() {
        let mut info = info.clone();
        if let Some(offsets) = info.get_mut("data_offsets") {
            if other == name {
                continue;
            }
            let [from, to] = [0, 1].map(|end| offsets[end].as_u64().unwrap() as usize);
            *offsets = serde_json::json!([bytes.len(), bytes.len() + to - from]);
            bytes.extend_from_slice(&data[from..to]);
        }
        kept.insert(other.clone(), info);
    }
    join(&Value::Object(kept), &bytes)
}

/// The same number of values in another shape, which no tensor of the models has.
fn misshapen(info: &Value) -> Value {
    let mut info = info.clone();
    let shape: Vec<usize> = serde_json::from_value(info["shape"].clone()).unwrap();
    let count: usize = shape.iter().product();
    let twice = count.is_multiple_of(2) && shape != [2, count / 2];
    info["shape"] = match twice {
        true => serde_json::json!([2, count / 2]),
        false => serde_json::json!([1, 1, count]),
    };
    info
}

#[test]
fn a_tensor_of_a_folder_that_is_lost_renamed_or_misshapen_is_named() {
    let compute = Compute::new(1).unwrap();
    let mut wrong = Vec::new();
    for folder in folders() {
        let copy = Copy::of(&folder);
        let weights = copy.0.path().join("model.safetensors");
        if !weights.is_file() {
            continue;
        }
        let (header, data) = split(&std::fs::read(&weights).unwrap());
        let tied = ["lm_head.weight", "embed_out.weight"];
        for name in ends(header.as_object().unwrap().keys()) {
            let renamed = |mut header: Value, to: String, info: Value| {
                let entries = header.as_object_mut().unwrap();
                entries.remove(name);
                entries.insert(to, info);
                join(&header, &data)
            };
            let info = header[name].clone();
            let changes = [
                ("lost", without(&header, &data, name)),
                (
                    "renamed",
                    renamed(header.clone(), format!("{name}x"), info.clone()),
                ),
                (
                    "misshapen",
                    renamed(header.clone(), name.clone(), misshapen(&info)),
                ),
            ];
            for (change, bytes) in changes {
                // Where the embedding table is the head too, a folder need not hold it twice.
                if change == "lost" && tied.iter().any(|end| name.ends_with(end)) {
                    continue;
                }
                std::fs::write(&weights, bytes).unwrap();
                let message = refusal(copy.0.path(), &compute);
                // Of stacked ones an error may mean all.
                let stacked = stacked(name);
                if ![name, &stacked]
                    .iter()
                    .any(|name| message.contains(name.as_str()))
                {
                    wrong.push(format!(
                        "{}, {name} {change}: {message:?}",
                        folder.display()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// The name with `{}` for the number of an expert or of a head's norm.
fn stacked(name: &str) -> String {
    let parts = name.split('.').scan("", |before, part| {
        let stacked = ["experts", "norms"].contains(before);
        let number = stacked && part.bytes().all(|byte| byte.is_ascii_digit());
        *before = part;
        Some(if number { "{}" } else { part })
    });
    parts.collect::<Vec<_>>().join(".")
}

/// Of the names that differ in numbers alone the first and the last: what holds for them holds for those between.
fn ends<'a>(names: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let pattern = |name: &String| name.replace(|letter: char| letter.is_ascii_digit(), "#");
    let mut kinds: Vec<(String, Vec<&String>)> = Vec::new();
    for name in names.filter(|name| *name != "__metadata__" && !is_other(name)) {
        let pattern = pattern(name);
        match kinds.iter_mut().find(|(kind, _)| *kind == pattern) {
            Some((_, ends)) => {
                ends.truncate(1);
                ends.push(name);
            }
            None => kinds.push((pattern, vec![name])),
        }
    }
    kinds.into_iter().flat_map(|(_, names)| names).collect()
}

/// Whether the tensor belongs to a part for images.
fn is_other(name: &str) -> bool {
    ["visual.", "vision_tower.", "multi_modal_projector."]
        .iter()
        .any(|part| name.contains(part))
}

fn refusal(path: &Path, compute: &Compute) -> String {
    let file = match Registry::default().open(path) {
        Ok(file) => file,
        Err(error) => return error.to_string(),
    };
    let built = build_with(&file, compute, true, None);
    built
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

fn folders() -> Vec<PathBuf> {
    let entries = ["", MODELS].map(|group| std::fs::read_dir(path(group)).unwrap());
    let paths = entries
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.join("config.json").is_file())
        .collect()
}
