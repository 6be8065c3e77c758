//! The default model, as users run it.

use std::time::Instant;

use dino_llm::{
    FinishReason, Grammar, GrammarCompiler, LogitsProcessor, Model, SamplingParams, TokenContext,
    default_model,
};
use serde_json::{Value as Json, json};

use crate::common::{compile, generate};

fn person() -> Json {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 40},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "city": {"type": "string", "maxLength": 40},
        },
        "required": ["name", "age", "city"],
        "additionalProperties": false,
    })
}

#[test]
fn a_schema_is_followed_and_filled_with_sense() {
    let model = Model::load(default_model::ensure(|_| {}).unwrap()).unwrap();
    let constraint = compile(&model, &Grammar::JsonSchema(person()));
    for seed in 0..4 {
        let params = SamplingParams::default()
            .with_seed(seed)
            .with_max_tokens(200);
        let prompt = "Ada Lovelace, 36 years old, lives in London. As JSON: ";
        let completion = generate(&model, &constraint, prompt, &params);
        assert_eq!(
            completion.finish_reason,
            FinishReason::Stop,
            "{}",
            completion.text
        );
        let json: Json = serde_json::from_str(&completion.text).unwrap();
        assert!(
            json["name"].is_string() && json["age"].as_u64().unwrap() <= 150,
            "{json}"
        );
        println!("{json}");
    }
}

/// A mask is cheap beside a token, so it need not be made while the model runs.
#[test]
fn a_mask_costs_little() {
    let model = Model::load(default_model::ensure(|_| {}).unwrap()).unwrap();
    let started = Instant::now();
    let grammars = GrammarCompiler::new(&model).unwrap();
    println!("vocabulary: {:?}", started.elapsed());
    let started = Instant::now();
    let fresh = grammars.compile(&Grammar::JsonSchema(person())).unwrap();
    println!("compiling: {:?}", started.elapsed());
    let text = r#"{"name": "Ada Lovelace the Countess", "age": 36, "city": "London by the river"}"#;
    let ids = model
        .tokenizer()
        .encode(text, dino_llm::EncodeOptions::default())
        .unwrap();
    for round in ["first", "second", "third"] {
        let mut constraint = fresh.clone();
        let mut times: Vec<_> = (0..ids.len())
            .map(|at| {
                let mut logits = vec![0.0; model.tokenizer().vocab_size()];
                let context = TokenContext {
                    prompt: &[],
                    generated: &ids[..at],
                };
                let started = Instant::now();
                constraint.process(&context, &mut logits).unwrap();
                assert_eq!(logits[ids[at] as usize], 0.0, "token {at} of {text}");
                started.elapsed()
            })
            .collect();
        times.sort_unstable();
        let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "{round}: median {median:?}, most {most:?} of {} masks",
            times.len()
        );
    }
}
