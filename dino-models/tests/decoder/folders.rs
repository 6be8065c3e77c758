//! A Hugging Face folder gives the same logits, to the bit, as the GGUF file of the same model.

use crate::common::{Runner, path, tokens};
use dino_models::arch::Registry;
use std::path::PathBuf;

/// Every folder that lies beside a GGUF file, as `(folder, file)`.
fn pairs() -> Vec<(PathBuf, PathBuf)> {
    let mut pairs = Vec::new();
    for group in ["", "../tiny_architectures"] {
        for entry in std::fs::read_dir(path(group)).unwrap() {
            let folder = entry.unwrap().path();
            if !folder.is_dir() {
                continue;
            }
            let split = folder.with_file_name("split-00001-of-00003.gguf");
            // The text part of a model that also sees is a model of its own.
            let name = folder.file_name().unwrap().to_str().unwrap();
            let text = name.strip_suffix("-seeing").unwrap_or(name);
            let file = folder.with_file_name(format!("{text}.gguf"));
            pairs.push((folder, if file.is_file() { file } else { split }));
        }
    }
    pairs.sort();
    pairs
}

#[test]
fn folders_give_the_logits_of_files() {
    let pairs = pairs();
    assert!(pairs.len() >= 12, "{pairs:?}");
    for (folder, file) in pairs {
        for precise in [true, false] {
            let [mut ours, mut theirs] =
                [&folder, &file].map(|path| Runner::new(path.to_str().unwrap(), precise, 2));
            let prompt = tokens(24, ours.model.config().vocabulary, 7);
            let logits = [&mut ours, &mut theirs].map(|runner| {
                let sequence = runner.cache.add();
                runner.chunks(sequence, &prompt, 9)
            });
            assert_eq!(logits[0], logits[1], "{}", folder.display());
        }
    }
}

#[test]
fn every_architecture_is_known_by_its_folder() {
    let folders: Vec<String> = pairs()
        .into_iter()
        .map(|(folder, _)| {
            let config = std::fs::read(folder.join("config.json")).unwrap();
            let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
            config["model_type"].as_str().unwrap().to_owned()
        })
        .collect();
    for model_type in Registry::default().model_types() {
        assert!(folders.contains(&model_type), "no folder of {model_type}");
    }
}
