//! Texts that are longer than the context, many at once.

use dino_llm::{
    ContextOverflow, Engine, EngineOptions, Generator, Model, Request, SamplingParams, Speculation,
};

use crate::common::goldens;
use crate::requests::{endless, prompt};

const POLICIES: [ContextOverflow; 5] = [
    ContextOverflow::TruncateHead,
    ContextOverflow::TruncateMiddle,
    ContextOverflow::TruncateTail,
    ContextOverflow::Slide { keep: 4 },
    ContextOverflow::Slide { keep: 0 },
];

fn requests() -> Vec<(Vec<u32>, SamplingParams, ContextOverflow)> {
    let lengths = [100, 30, 69, 70, 7];
    let mixed = lengths
        .into_iter()
        .enumerate()
        .flat_map(|(number, length)| {
            POLICIES.map(|how| {
                let params = match number % 2 {
                    0 => endless(50 + number),
                    _ => SamplingParams {
                        temperature: 0.0,
                        repetition_penalty: 1.1,
                        ..endless(150)
                    },
                };
                (prompt(number, length), params.with_logprobs(1), how)
            })
        });
    mixed.collect()
}

#[test]
fn an_engine_drops_what_a_generator_drops() {
    let golden = goldens()
        .into_iter()
        .find(|golden| golden.name == "gqa")
        .unwrap();
    let model = golden.load(Model::builder().context_length(70));
    let page = model.new_cache().layout().page_bytes();
    let alone: Vec<_> = requests()
        .into_iter()
        .map(|(ids, params, how)| {
            let request = Request::new(ids, &params).overflow(how);
            let mut generator = Generator::new(&model);
            generator.start(request).unwrap().into_completion().unwrap()
        })
        .collect();
    assert!(alone.iter().any(|one| one.usage.truncated_tokens > 80));
    for (pages, speculation) in [
        (200, None),
        (5, None),
        (200, Some(Speculation::prompt_lookup())),
        (200, Some(Speculation::draft(&model))),
    ] {
        let options = EngineOptions {
            cache_memory: Some(pages * page),
            max_batch_tokens: Some(40),
            ..EngineOptions::default()
        };
        let engine = Engine::new(&model, options).unwrap();
        let requests = requests().into_iter().map(|(ids, params, how)| {
            let request = Request::new(ids, &params).overflow(how);
            match &speculation {
                Some(speculation) => request.speculation(speculation.clone()),
                None => request,
            }
        });
        let together = engine.generate_batch(requests);
        for ((found, expected), (_, _, how)) in together.iter().zip(&alone).zip(self::requests()) {
            let found = found.as_ref().unwrap();
            assert_eq!(found.tokens, expected.tokens, "{how:?}, {pages} pages");
            let dropped = [found, expected].map(|one| one.usage.truncated_tokens);
            assert_eq!(dropped[0], dropped[1], "{how:?}");
        }
    }
}
