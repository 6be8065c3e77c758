//! Requests with different adapters, and with none, in one engine and one generator.

use std::path::Path;
use std::sync::Arc;

use dino_llm::dino_models::Adapter;
use dino_llm::{Completion, Engine, EngineOptions, Generator, Model, Request, SamplingParams};

use crate::common::load;
use crate::requests::prompt;

fn adapter(model: &Model, name: &str) -> Arc<Adapter> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny_adapters");
    model
        .adapter(folder.join(format!("{name}.gguf")), 1.0)
        .unwrap()
}

/// What a request draws, with the log probabilities, which show every bit.
fn drawn(completion: &Completion) -> Vec<(u32, Option<f32>)> {
    completion
        .tokens
        .iter()
        .map(|token| (token.id, token.logprob))
        .collect()
}

#[test]
fn each_request_has_its_own_and_shares_no_past_with_another_one() {
    let model = load("gqa", Model::builder());
    let adapters = [
        None,
        Some(adapter(&model, "attention")),
        Some(adapter(&model, "all")),
    ];
    let params = SamplingParams::greedy()
        .with_max_tokens(24)
        .with_logprobs(1);
    let request = |adapter: &Option<Arc<Adapter>>| {
        // The same prompt for all: there is something that must not be shared.
        let request = Request::new(prompt(1, 150), &params);
        match adapter {
            Some(adapter) => request.adapter(adapter),
            None => request,
        }
    };
    let alone = adapters.each_ref().map(|adapter| {
        let stream = Generator::new(&model).start(request(adapter)).unwrap();
        drawn(&stream.into_completion().unwrap())
    });
    assert_ne!(alone[0], alone[1]);
    assert_ne!(alone[1], alone[2]);

    // One generator, which remembers the text before.
    let mut generator = Generator::new(&model);
    for index in [0, 1, 1, 2, 0, 2] {
        let stream = generator.start(request(&adapters[index])).unwrap();
        let completion = stream.into_completion().unwrap();
        assert_eq!(drawn(&completion), alone[index], "adapter {index}");
    }

    let engine = Engine::new(&model, EngineOptions::default()).unwrap();
    for round in 0..2 {
        let order = [0, 1, 2, 1, 0, 2, 2, 0];
        let requests = order.map(|index| request(&adapters[index]));
        let completions = engine.generate_batch(requests);
        for (index, completion) in order.into_iter().zip(completions) {
            let completion = completion.unwrap();
            assert_eq!(drawn(&completion), alone[index], "adapter {index}");
            // What one has left is there for those with the same adapter.
            assert!(round == 0 || completion.usage.cached_tokens == 149);
        }
    }
}
