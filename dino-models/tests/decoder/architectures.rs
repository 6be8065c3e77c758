//! A tiny random model of each architecture gives the logits of `transformers` (`tools/tiny_architectures.py`).

use crate::common::{Runner, path};
use dino_models::arch::Registry;
use ndarray::{Array2, ArrayView2};
use serde_json::Value;

const FOLDER: &str = "../tiny_architectures";

/// Name, tokens and reference logits of each model.
fn references() -> Vec<(String, Vec<u32>, Array2<f32>)> {
    let index = std::fs::read(path(&format!("{FOLDER}/index.json"))).unwrap();
    let index: Vec<Value> = serde_json::from_slice(&index).unwrap();
    let read = |entry: &Value| {
        let name = entry["name"].as_str().unwrap();
        let ids = entry["ids"].as_array().unwrap().iter();
        let ids: Vec<u32> = ids.map(|id| id.as_u64().unwrap() as u32).collect();
        let bytes = std::fs::read(path(&format!("{FOLDER}/{name}.f32"))).unwrap();
        let values = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
        let shape = (ids.len(), bytes.len() / 4 / ids.len());
        let logits = Array2::from_shape_vec(shape, values.collect()).unwrap();
        (name.to_owned(), ids, logits)
    };
    index.iter().map(read).collect()
}

/// Squared error over squared reference, both about nothing but the reference's scale.
fn normalised_error(found: ArrayView2<'_, f32>, expected: ArrayView2<'_, f32>) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let error: f64 = found.iter().zip(expected).map(|(f, e)| square(f - e)).sum();
    error / expected.iter().map(|&e| square(e)).sum::<f64>()
}

#[test]
fn logits_are_those_of_transformers() {
    for (name, tokens, expected) in references() {
        let mut runner = Runner::new(&format!("{FOLDER}/{name}.gguf"), true, 2);
        for chunk in [tokens.len(), 7, 1] {
            let sequence = runner.cache.add();
            let found = runner.chunks(sequence, &tokens, chunk);
            let error = normalised_error(found.view(), expected.view());
            println!("{name}, chunks of {chunk}: {error:.1e}");
            assert!(error <= 1e-9, "{name}, chunks of {chunk}: {error:.1e}");
        }
    }
}

#[test]
fn every_architecture_has_a_reference() {
    let tested: Vec<String> = references().into_iter().map(|(name, ..)| name).collect();
    for name in Registry::default().names() {
        // Those of llama are in `tests/golden/tiny`.
        assert!(name == "llama" || tested.contains(&name), "{name}");
    }
}
