//! Embedders: vectors of texts, by encoders.

use std::path::{Path, PathBuf};

use dino_llm::{Embedder, Error, ModelError, Pooling};
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// The texts of a tiny encoder, and the features of their tokens by `transformers`.
fn reference(name: &str) -> Vec<(String, Vec<Vec<f32>>)> {
    let index = std::fs::read(golden("tiny_encoders/index.json")).unwrap();
    let index: Vec<Value> = serde_json::from_slice(&index).unwrap();
    let entry = index.iter().find(|entry| entry["name"] == name).unwrap();
    let bytes = std::fs::read(golden(&format!("tiny_encoders/{name}.f32"))).unwrap();
    let values: Vec<f32> = bytes
        .as_chunks()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect();
    let texts = entry["texts"].as_array().unwrap();
    let count = |text: &Value| text["ids"].as_array().unwrap().len();
    let hidden = values.len() / texts.iter().map(count).sum::<usize>();
    let mut rows = values.chunks(hidden).map(<[f32]>::to_vec);
    texts
        .iter()
        .map(|text| {
            let rows = rows.by_ref().take(count(text)).collect();
            (text["text"].as_str().unwrap().to_owned(), rows)
        })
        .collect()
}

fn unit(vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter().map(|x| x / length).collect()
}

fn mean(rows: &[Vec<f32>]) -> Vec<f32> {
    let column = |i: usize| rows.iter().map(|row| row[i]).sum::<f32>() / rows.len() as f32;
    (0..rows[0].len()).map(column).collect()
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

#[test]
fn vectors_are_pooled_as_the_file_says_or_as_asked() {
    for (name, pooling) in [("bert", Pooling::First), ("nomic-bert", Pooling::Mean)] {
        let file = golden(&format!("tiny_encoders/{name}.gguf"));
        let builder = Embedder::builder().precise(true).threads(2);
        let embedder = builder.clone().load(&file).unwrap();
        let reference = reference(name);
        let texts: Vec<&str> = reference.iter().map(|(text, _)| text.as_str()).collect();
        let expected = |pooling: Pooling, rows: &[Vec<f32>]| match pooling {
            Pooling::Mean => mean(rows),
            Pooling::First => rows[0].clone(),
            _ => rows[rows.len() - 1].clone(),
        };
        for (vector, (_, rows)) in embedder.embed(&texts).unwrap().iter().zip(&reference) {
            assert_eq!(vector.len(), embedder.dimensions());
            assert_close(vector, &unit(expected(pooling, rows)));
        }
        for pooling in [Pooling::Mean, Pooling::First, Pooling::Last] {
            let builder = builder.clone().pooling(pooling).normalize(false);
            let embedder = builder.load(&file).unwrap();
            for (vector, (_, rows)) in embedder.embed(&texts).unwrap().iter().zip(&reference) {
                assert_close(vector, &expected(pooling, rows));
            }
        }
    }
}

#[test]
fn a_long_text_is_refused_or_cut_but_keeps_its_end() {
    let file = golden("tiny_encoders/bert.gguf");
    let text = "the river and the mountain ".repeat(50);
    let embedder = Embedder::load(&file).unwrap();
    let error = embedder.embed(&[&text]).unwrap_err();
    assert!(matches!(
        error,
        Error::Model(ModelError::ContextOverflow { limit: 64, .. })
    ));
    let embedder = Embedder::builder().truncate(true).load(&file).unwrap();
    let tokens = embedder.tokens(&text).unwrap();
    let short = embedder.tokens("the").unwrap();
    assert_eq!(tokens.len(), 64);
    assert_eq!(tokens.last(), short.last());
    assert_eq!(embedder.embed(&[&text]).unwrap()[0].len(), 32);
    assert!(embedder.embed::<&str>(&[]).unwrap().is_empty());
}
