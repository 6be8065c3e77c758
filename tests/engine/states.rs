//! Models with recurrent states share beginnings where states were copied.

use std::path::PathBuf;
use std::sync::Arc;

use dino_llm::dino_models::tokenizer::SpecialTokens;
use dino_llm::{Engine, EngineOptions, Model};

use crate::requests::{alone, endless, held, prompt, request};
use crate::same_text::{LETTERS, Letters};

/// Recurrent alone, and with attention between.
const MODELS: [&str; 5] = ["mamba", "mamba2", "lfm2", "qwen35", "qwen3next"];

fn model(name: &str) -> Model {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny_architectures");
    let builder = Model::builder().tokenizer(Arc::new(Letters(SpecialTokens::default())));
    builder.load(folder.join(format!("{name}.gguf"))).unwrap()
}

fn ids(number: usize, tokens: usize) -> Vec<u32> {
    let ids = prompt(number, tokens).into_iter();
    ids.map(|id| id % LETTERS as u32).collect()
}

#[test]
fn a_conversation_goes_on_from_its_last_state() {
    for name in MODELS {
        let model = model(name);
        let engine = Engine::new(&model, EngineOptions::default()).unwrap();
        let (mut text, mut before) = (ids(1, 20), 0);
        for turn in 0..4 {
            let params = endless(6).with_logprobs(1);
            let found = engine.submit(request(&text, &params)).unwrap();
            let found = found.into_completion().unwrap();
            let expected = alone(&model, &text, &params);
            assert_eq!(found.tokens, expected.tokens, "{name}, turn {turn}");
            assert_eq!(found.usage.cached_tokens, before, "{name}, turn {turn}");
            text.extend(found.tokens.iter().map(|token| token.id));
            // The last token was drawn, but not run.
            before = text.len() - 1;
            text.extend(ids(2 + turn, 5));
        }
        // Another beginning finds nothing, and neither does a shorter one.
        for other in [ids(9, 30), text[..22].to_vec()] {
            let params = endless(3).with_logprobs(1);
            let found = engine.submit(request(&other, &params)).unwrap();
            let found = found.into_completion().unwrap();
            assert_eq!(found.usage.cached_tokens, 0, "{name}");
            assert_eq!(
                found.tokens,
                alone(&model, &other, &params).tokens,
                "{name}"
            );
        }
    }
}

#[test]
fn a_beginning_is_shared_up_to_a_round_position() {
    let mut tried = 0;
    for name in MODELS {
        let model = model(name);
        if model.context_length() < 700 {
            continue;
        }
        tried += 1;
        let options = EngineOptions {
            max_batch_tokens: Some(100),
            ..EngineOptions::default()
        };
        let engine = Engine::new(&model, options).unwrap();
        let with = |number| [ids(1, 600), ids(number, 9)].concat();
        let params = endless(5).with_logprobs(1);
        // While the first is run the others wait for its states.
        let texts = [with(2), with(3), with(4)];
        let requests = texts.iter().map(|text| request(text, &params));
        let together = engine.generate_batch(requests);
        let known = together.iter().zip(&texts).map(|(found, text)| {
            let found = found.as_ref().unwrap();
            assert_eq!(found.tokens, alone(&model, text, &params).tokens, "{name}");
            found.usage.cached_tokens
        });
        let known: Vec<_> = known.collect();
        // The last copy, or the state of the first where it stood less than a page before.
        let near = |tokens: &usize| (449..=512).contains(tokens);
        assert!(
            known[0] == 0 && known[1..].iter().all(near),
            "{name}: {known:?}"
        );
    }
    assert!(tried > 1, "{tried} models have a long context");
}

#[test]
fn states_make_way_and_texts_stay_the_same() {
    for name in MODELS {
        let model = model(name);
        // Room for hardly any state: texts are put aside and run anew.
        let options = EngineOptions {
            cache_memory: Some(40_000),
            max_sequences: 3,
            ..EngineOptions::default()
        };
        let engine = Engine::new(&model, options).unwrap();
        let (first, release) = held(request(&ids(0, 10), &endless(4)));
        let first = engine.submit(first).unwrap();
        let params = endless(12).with_logprobs(1);
        let texts: Vec<_> = (1..9).map(|number| ids(number, 6 + number)).collect();
        let streams: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(at, text)| {
                let request = request(text, &params).priority(at as i32 % 3);
                engine.submit(request).unwrap()
            })
            .collect();
        drop(release);
        first.into_completion().unwrap();
        for (stream, text) in streams.into_iter().zip(&texts) {
            let found = stream.into_completion().unwrap();
            assert_eq!(found.tokens, alone(&model, text, &params).tokens, "{name}");
        }
    }
}
