//! Guessing ahead changes no bit of a text.

use dino_llm::{
    Completion, Engine, EngineError, EngineOptions, Error, FinishReason, Model, SamplingParams,
    Speculation,
};

use crate::common::load;
use crate::requests::{alone, endless, prompt, request};

fn with(engine: &Engine, ids: &[u32], params: &SamplingParams, how: Speculation) -> Completion {
    let request = request(ids, params).speculation(how);
    let stream = engine.submit(request).unwrap();
    stream.into_completion().unwrap()
}

/// Four tokens, again and again.
fn repeating() -> Vec<u32> {
    [9, 30, 77, 100].repeat(10)
}

#[test]
fn the_text_is_the_same_for_every_way_to_guess_and_to_sample() {
    let model = load("gqa", Model::builder());
    let other = load("bias", Model::builder());
    let engine = Engine::new(&model, EngineOptions::default()).unwrap();
    let greedy = SamplingParams {
        ignore_eos: true,
        ..SamplingParams::greedy().with_max_tokens(150)
    };
    let cold = SamplingParams {
        temperature: 0.2,
        repetition_penalty: 1.1,
        ..endless(120)
    };
    for params in [greedy, cold, endless(90)] {
        let params = params.with_logprobs(1);
        for ids in [repeating(), prompt(4, 30)] {
            let expected = alone(&model, &ids, &params);
            for how in [
                Speculation::prompt_lookup(),
                Speculation::prompt_lookup().adaptive(false),
                Speculation::draft(&model).adaptive(false),
                Speculation::draft(&other).adaptive(false).max_tokens(3),
            ] {
                let found = with(&engine, &ids, &params, how.clone());
                assert_eq!(found.tokens, expected.tokens, "{how:?}");
                assert_eq!(found.finish_reason, expected.finish_reason, "{how:?}");
                assert!(found.stats.accepted_tokens <= found.stats.drafted_tokens);
            }
        }
    }
    let counts = engine.metrics().snapshot();
    assert!(counts.accepted_tokens > 0 && counts.accepted_tokens < counts.drafted_tokens);
}

#[test]
fn a_model_that_drafts_for_itself_is_always_right() {
    let model = load("gqa", Model::builder());
    let engine = Engine::new(&model, EngineOptions::default()).unwrap();
    let params = SamplingParams::greedy().with_max_tokens(61);
    // A text that the model does not end.
    let ids = (0..50).map(|number| prompt(number, 20)).find(|ids| {
        let length = FinishReason::Length;
        alone(&model, ids, &params).finish_reason == length
    });
    let how = Speculation::draft(&model).adaptive(false).max_tokens(4);
    let answer = with(&engine, &ids.unwrap(), &params, how);
    // One token of the prompt's step, and then twelve steps of four guesses and one more.
    assert_eq!(answer.stats.drafted_tokens, 12 * 4);
    assert_eq!(answer.stats.accepted_tokens, 12 * 4);
    assert_eq!(engine.metrics().snapshot().steps, 13);
}

#[test]
fn guesses_stay_within_limits_stops_and_a_small_cache() {
    let model = load("gqa", Model::builder());
    let page = model.new_cache().layout().page_bytes();
    let options = EngineOptions {
        cache_memory: Some(3 * page),
        ..EngineOptions::default()
    };
    let engine = Engine::new(&model, options).unwrap();
    let how = || Speculation::draft(&model).adaptive(false).max_tokens(7);
    for most in 1..12 {
        let params = endless(most);
        let found = with(&engine, &repeating(), &params, how());
        assert_eq!(found.tokens, alone(&model, &repeating(), &params).tokens);
    }
    // To the end of the cache, three at once.
    let ids: Vec<_> = (0..3).map(|number| prompt(number, 60)).collect();
    let params = SamplingParams {
        ignore_eos: true,
        ..SamplingParams::greedy()
    };
    let requests = ids
        .iter()
        .map(|ids| request(ids, &params).speculation(how()));
    for (ids, found) in ids.iter().zip(engine.generate_batch(requests)) {
        let found = found.unwrap();
        assert_eq!(found.tokens.len(), 3 * 64 - 60);
        let params = params.clone().with_max_tokens(3 * 64 - 60);
        assert_eq!(found.tokens, alone(&model, ids, &params).tokens);
    }
    let whole = alone(&model, &repeating(), &endless(30));
    let stop: String = whole.text.chars().skip(6).take(2).collect();
    let params = endless(30).with_stop(stop);
    let found = with(&engine, &repeating(), &params, how());
    assert_eq!(found.text, alone(&model, &repeating(), &params).text);
}

#[test]
fn a_draft_of_another_vocabulary_is_refused() {
    let model = load("gqa", Model::builder());
    let other = load("spm", Model::builder());
    let engine = Engine::new(&model, EngineOptions::default()).unwrap();
    let request = request(&[1, 2], &endless(3)).speculation(Speculation::draft(&other));
    let error = engine.submit(request).unwrap_err();
    assert!(
        matches!(error, Error::Engine(EngineError::DraftVocabulary { .. })),
        "{error}"
    );
}
