//! Vectors of texts against transformers (`tools/golden_embeddings.py`).

use dino_llm::{Error, Model, Pooling, Prompt, default_model};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    size: usize,
    cases: Vec<Case>,
    cosines: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    tokens: usize,
    mean: Vec<f64>,
    last: Vec<f64>,
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

/// The greatest distance of the values that are known.
fn distance(found: &[f32], expected: &[f64]) -> f64 {
    let differences = found
        .iter()
        .zip(expected)
        .map(|(f, e)| (f64::from(*f) - e).abs());
    differences.fold(0.0, f64::max)
}

#[test]
fn vectors_are_those_of_transformers() {
    let golden: Golden = serde_json::from_str(include_str!("golden/embeddings.json")).unwrap();
    let path = default_model::ensure(|_| {}).unwrap();
    // Values of vectors of length 1; the 8-bit path rounds more, and so may what many rows take.
    let ways = [(true, false), (false, true), (false, false)];
    for (precise, reproducible) in ways {
        let (bound, cosine_bound) = if precise {
            (2e-4, 1e-3)
        } else {
            (6e-3, 1.5e-2)
        };
        let builder = Model::builder().reproducible(reproducible);
        let model = builder.precise(precise).load(&path).unwrap();
        let mut means = Vec::new();
        for case in &golden.cases {
            let text = || Prompt::text(case.text.as_str());
            let mean = model.embed(text()).unwrap();
            assert_eq!((mean.tokens, mean.vector.len()), (case.tokens, golden.size));
            assert!((cosine(&mean.vector, &mean.vector) - 1.0).abs() < 1e-5);
            let last = model.embed_pooled(text(), Pooling::Last).unwrap();
            for (found, expected) in [(&mean, &case.mean), (&last, &case.last)] {
                let distance = distance(&found.vector, expected);
                assert!(
                    distance < bound,
                    "precise {precise}: {distance} for {}",
                    case.text
                );
            }
            means.push(mean.vector);
        }
        // Together they are what they are alone: to the bit where that was asked for, elsewhere as far as rounding goes.
        let texts = golden.cases.iter().map(|case| case.text.as_str());
        let together = model.embed_batch(texts).unwrap();
        if precise || reproducible {
            assert!(together.iter().map(|text| &text.vector).eq(&means));
        }
        for (text, case) in together.iter().zip(&golden.cases) {
            assert!(distance(&text.vector, &case.mean) < bound);
        }
        for (a, row) in means.iter().zip(&golden.cosines) {
            for (b, expected) in means.iter().zip(row) {
                let found = cosine(a, b);
                assert!(
                    (found - expected).abs() < cosine_bound,
                    "{found} is not {expected}"
                );
            }
        }
    }
}

#[test]
fn nothing_and_too_much_are_errors() {
    let path = default_model::ensure(|_| {}).unwrap();
    let model = Model::builder().context_length(16).load(path).unwrap();
    assert!(matches!(model.embed(vec![]), Err(Error::EmptyPrompt)));
    let long = "word ".repeat(40);
    let error = model.embed(long).unwrap_err();
    assert!(error.to_string().contains("16"), "{error}");
}
