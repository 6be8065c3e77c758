//! The tiny models, and what transformers computes with them.

use std::path::PathBuf;

use dino_llm::{Error, KvType, Model, ModelBuilder};
use serde::Deserialize;

/// A tiny model and the logits that transformers gives for `ids`.
#[derive(Deserialize)]
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) file: String,
    logits: String,
    pub(crate) vocabulary: usize,
    pub(crate) ids: Vec<u32>,
}

impl Golden {
    /// `[ids, vocabulary]`, row after row.
    pub(crate) fn logits(&self) -> Vec<f32> {
        let bytes = std::fs::read(folder().join(&self.logits)).unwrap();
        let values = bytes
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes(four.try_into().unwrap()));
        values.collect()
    }

    pub(crate) fn load(&self, builder: ModelBuilder) -> Model {
        builder.load(folder().join(&self.file)).unwrap()
    }
}

pub(crate) fn goldens() -> Vec<Golden> {
    let index = std::fs::read_to_string(folder().join("index.json")).unwrap();
    serde_json::from_str(&index).unwrap()
}

/// The model `name` with f32 activations and cache.
pub(crate) fn precise(name: &str) -> Model {
    load(
        name,
        Model::builder().precise(true).kv_cache_type(KvType::F32),
    )
}

pub(crate) fn load(name: &str, builder: ModelBuilder) -> Model {
    try_load(name, builder).unwrap()
}

pub(crate) fn try_load(name: &str, builder: ModelBuilder) -> Result<Model, Error> {
    let goldens = goldens();
    let golden = goldens.iter().find(|golden| golden.name == name).unwrap();
    builder.load(folder().join(&golden.file))
}

/// The energy of the error over that of the signal.
pub(crate) fn nmse(found: &[f32], expected: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x).powi(2);
    let error: f64 = found.iter().zip(expected).map(|(f, e)| square(f - e)).sum();
    error / expected.iter().copied().map(square).sum::<f64>()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny")
}
