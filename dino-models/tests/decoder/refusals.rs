//! Files that no model can be built from: each gives an error that names the place.

use crate::common::{build, open, path};
use dino_core::{DType, Storage, Tensor};
use dino_models::format::{Metadata, ModelFile, Value, Weights};

/// The model `gqa` with a key set to another value, or left out.
fn with_key(key: &str, value: Option<Value>) -> ModelFile {
    let file = open("gqa.gguf");
    let mut metadata = Metadata::new(file.metadata.file());
    for (name, old) in file.metadata.iter().filter(|(name, _)| *name != key) {
        metadata.insert(name, old.clone());
    }
    if let Some(value) = value {
        metadata.insert(key, value);
    }
    ModelFile { metadata, ..file }
}

/// The model `gqa` with its tensors changed: `None` leaves one out.
fn with_tensors(change: impl Fn(&Tensor) -> Option<Tensor>) -> ModelFile {
    changed(open("gqa.gguf"), change)
}

fn changed(file: ModelFile, change: impl Fn(&Tensor) -> Option<Tensor>) -> ModelFile {
    let mut weights = Weights::new(file.metadata.file());
    for tensor in file.weights.iter().filter_map(|tensor| change(&tensor)) {
        weights.insert(tensor).unwrap();
    }
    ModelFile { weights, ..file }
}

fn zeros(name: &str, shape: &[usize]) -> Tensor {
    let bytes = vec![0; 4 * shape.iter().product::<usize>()];
    Tensor::new(name, DType::F32, shape, Storage::from_vec(bytes)).unwrap()
}

/// The message of the error that building `file` gives.
fn refusal(file: &ModelFile) -> String {
    match build(file, false) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_untouched_model_is_built() {
    assert_eq!(refusal(&with_key("none", None)), "");
    assert_eq!(refusal(&with_tensors(|tensor| Some(tensor.clone()))), "");
}

#[test]
fn impossible_hyperparameters_are_named() {
    let keys = [
        (
            "llama.attention.head_count",
            vec![0, 3, 5, 1 << 40, u64::MAX],
        ),
        ("llama.attention.head_count_kv", vec![0, 3, 8, u64::MAX]),
        (
            "llama.embedding_length",
            vec![0, 1, 63, 65, 1 << 33, u64::MAX],
        ),
        ("llama.block_count", vec![0, 1, 3, 5000, 1 << 32, u64::MAX]),
        ("llama.feed_forward_length", vec![0, 1, 1 << 33, u64::MAX]),
        ("llama.context_length", vec![0, u64::MAX]),
        (
            "llama.rope.dimension_count",
            vec![0, 1, 3, 17, 1 << 20, u64::MAX],
        ),
        ("llama.attention.key_length", vec![0, 7, 1 << 20, u64::MAX]),
        ("llama.attention.value_length", vec![0, 8, u64::MAX]),
        ("llama.vocab_size", vec![0, 1, u64::MAX]),
        ("llama.attention.sliding_window", vec![0]),
        ("llama.expert_count", vec![8, 1 << 40, u64::MAX]),
        ("llama.rope.scaling.original_context_length", vec![0]),
        ("llama.no_such_key", vec![1]),
    ];
    for (key, values) in keys {
        for value in values {
            let message = refusal(&with_key(key, Some(value.into())));
            // A wrong size may first be noticed at another key, or where a tensor does not have it.
            let named = ["llama.", "blk.", "output"]
                .iter()
                .any(|place| message.contains(place));
            assert!(
                named && message.contains("gqa.gguf"),
                "{key} = {value}: {message:?}"
            );
        }
    }
}

#[test]
fn impossible_numbers_are_named() {
    let epsilon = "llama.attention.layer_norm_rms_epsilon";
    for value in [f32::NAN, f32::INFINITY, -1.0, 1.5] {
        assert!(refusal(&with_key(epsilon, Some(value.into()))).contains(epsilon));
    }
    for value in [f32::NAN, f32::INFINITY, -1.0, 0.0] {
        for key in ["llama.rope.freq_base", "llama.rope.scaling.factor"] {
            assert!(
                refusal(&with_key(key, Some(value.into()))).contains(key),
                "{key} {value}"
            );
        }
    }
    let kind = with_key("llama.rope.scaling.type", Some("spiral".into()));
    assert!(refusal(&kind).contains("spiral"));
}

#[test]
fn missing_keys_and_wrong_types_are_named() {
    let needed = [
        "llama.attention.head_count",
        "llama.embedding_length",
        "llama.block_count",
        "llama.feed_forward_length",
        "llama.context_length",
        "llama.attention.layer_norm_rms_epsilon",
    ];
    for key in needed {
        assert!(refusal(&with_key(key, None)).contains(key), "{key} missing");
        assert!(
            refusal(&with_key(key, Some("text".into()))).contains(key),
            "{key} as text"
        );
    }
    assert!(refusal(&with_key("general.architecture", None)).contains("general.architecture"));
    let unknown = refusal(&with_key("general.architecture", Some("dinosaur".into())));
    assert!(
        unknown.contains("dinosaur") && unknown.contains("llama"),
        "{unknown}"
    );
}

#[test]
fn missing_misshaped_and_unknown_tensors_are_named() {
    let names: Vec<String> = open("gqa.gguf")
        .weights
        .iter()
        .map(|t| t.name().to_owned())
        .collect();
    for name in &names {
        let missing = refusal(&with_tensors(|t| (t.name() != name).then(|| t.clone())));
        assert!(
            missing.contains(name.as_str()),
            "{name} missing: {missing:?}"
        );
        for shape in [vec![1], vec![3, 5], vec![2, 2, 2]] {
            let changed = with_tensors(|t| {
                Some(if t.name() == name {
                    zeros(name, &shape)
                } else {
                    t.clone()
                })
            });
            let message = refusal(&changed);
            assert!(
                message.contains(name.as_str()),
                "{name} {shape:?}: {message:?}"
            );
        }
    }
    let mut extra = with_tensors(|tensor| Some(tensor.clone()));
    extra
        .weights
        .insert(zeros("blk.0.surprise.weight", &[4]))
        .unwrap();
    assert!(refusal(&extra).contains("blk.0.surprise.weight"));
}

/// The files of `tests/golden/tiny_architectures`.
fn architectures() -> Vec<String> {
    let files = std::fs::read_dir(path("../tiny_architectures")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let models = names.filter(|name| name.ends_with(".gguf"));
    models
        .map(|name| format!("../tiny_architectures/{name}"))
        .collect()
}

#[test]
fn every_architecture_misses_each_of_its_tensors() {
    for model in architectures() {
        let names: Vec<_> = (open(&model).weights.iter())
            .map(|tensor| tensor.name().to_owned())
            .collect();
        // A file without a head uses the embedding for it: that is how files say so.
        for lost in names.iter().filter(|name| *name != "output.weight") {
            let keep = |tensor: &Tensor| (tensor.name() != lost).then(|| tensor.clone());
            let message = refusal(&changed(open(&model), keep));
            // Short factors without long ones are what nobody reads.
            let named = message.contains(&lost.replace("long", "short"));
            assert!(named, "{model} without {lost}: {message:?}");
            let rename = |tensor: &Tensor| {
                let renamed = format!("{}x", tensor.name());
                let renamed = || {
                    let (dtype, storage) = (tensor.dtype(), tensor.storage().clone());
                    Tensor::new(renamed, dtype, tensor.shape(), storage).unwrap()
                };
                Some(if tensor.name() == lost {
                    renamed()
                } else {
                    tensor.clone()
                })
            };
            let message = refusal(&changed(open(&model), rename));
            let named = message.contains(&lost.replace("long", "short"));
            assert!(named, "{model}, {lost} renamed: {message:?}");
            let misshape = |tensor: &Tensor| {
                let other = zeros(tensor.name(), &[3, 5]);
                Some(if tensor.name() == lost {
                    other
                } else {
                    tensor.clone()
                })
            };
            let message = refusal(&changed(open(&model), misshape));
            assert!(
                message.contains(lost),
                "{model}, {lost} misshaped: {message:?}"
            );
        }
    }
}

#[test]
fn every_architecture_reads_each_of_its_keys() {
    for model in architectures() {
        let file = open(&model);
        let scope = format!("{}.", file.metadata.architecture().unwrap());
        let keys = file.metadata.iter().map(|(key, _)| key.to_owned());
        let inert = format!("{scope}vocab_size");
        for key in keys.filter(|key| key.starts_with(&scope) && *key != inert) {
            let file = open(&model);
            let mut metadata = Metadata::new(file.metadata.file());
            for (name, value) in file.metadata.iter() {
                let renamed = format!("{name}_x");
                metadata.insert(if name == key { &renamed } else { name }, value.clone());
            }
            let message = refusal(&ModelFile { metadata, ..file });
            // Without one key another may be what is found to be wrong, or a tensor.
            let named = message.contains(&scope) || message.contains("tensor");
            assert!(named, "{model} without {key}: {message:?}");
        }
    }
}

#[test]
fn a_lost_bias_is_missed() {
    // qwen2 always has these; of a llama, one bias tells that there must be others.
    for (model, lost) in [
        ("../tiny_architectures/qwen2.gguf", "blk.0.attn_q.bias"),
        ("../tiny_architectures/qwen2.gguf", "blk.1.attn_v.bias"),
        ("bias.gguf", "blk.1.attn_k.bias"),
        ("bias.gguf", "blk.0.attn_output.bias"),
        ("bias.gguf", "blk.0.ffn_down.bias"),
    ] {
        let file = open(model);
        let mut weights = Weights::new(file.weights.file());
        for tensor in file.weights.iter().filter(|t| t.name() != lost) {
            weights.insert(tensor.clone()).unwrap();
        }
        let message = refusal(&ModelFile { weights, ..file });
        assert!(message.contains(lost), "{lost}: {message:?}");
    }
}

#[test]
fn frequencies_that_are_no_numbers_are_refused() {
    let mut file = with_tensors(|tensor| Some(tensor.clone()));
    file.weights
        .insert(zeros("rope_freqs.weight", &[8]))
        .unwrap();
    assert!(refusal(&file).contains("rope_freqs.weight"));
}
