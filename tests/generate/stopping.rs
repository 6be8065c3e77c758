//! Where a text ends.

use dino_llm::{Completion, FinishReason, Generator, Model, SamplingParams};

use crate::common::{load, precise};

/// Goes on until something but the model ends it.
fn endless() -> SamplingParams {
    SamplingParams {
        ignore_eos: true,
        ..SamplingParams::unfiltered(1.0)
            .with_seed(3)
            .with_max_tokens(30)
    }
}

fn generate(params: &SamplingParams) -> Completion {
    Generator::new(&precise("gqa"))
        .generate("the", params)
        .unwrap()
}

#[test]
fn a_stream_joined_is_the_text() {
    let mut stream = Generator::new(&precise("gqa"))
        .stream("the", &endless())
        .unwrap();
    let joined: String = stream.by_ref().map(|token| token.unwrap().text).collect();
    let completion = stream.into_completion().unwrap();
    assert_eq!(joined, completion.text);
    assert_eq!(completion.finish_reason, FinishReason::Length);
    assert_eq!(completion.usage.completion_tokens, 30);
    assert_eq!(completion.tokens.len(), 30);
}

#[test]
fn stop_strings_end_the_text_wherever_tokens_begin_and_end() {
    let whole = generate(&endless());
    let characters: Vec<_> = whole.text.char_indices().map(|(at, _)| at).collect();
    assert!(characters.len() > 12, "{:?}", whole.text);
    for pair in characters.windows(4) {
        let stop = &whole.text[pair[0]..pair[3]];
        let stopped = generate(&endless().with_stop(stop));
        let before = &whole.text[..whole.text.find(stop).unwrap()];
        assert_eq!(stopped.text, before, "up to {stop:?}");
        assert_eq!(stopped.finish_reason, FinishReason::Stop);
        assert_eq!(stopped.stop.as_deref(), Some(stop));
        let joined: String = stopped
            .tokens
            .iter()
            .map(|token| token.text.as_str())
            .collect();
        assert_eq!(joined, before);
    }
}

#[test]
fn a_stop_string_that_never_comes_takes_nothing_away() {
    let whole = generate(&endless());
    let last: String = whole.text.chars().rev().take(1).collect();
    let with_stop = generate(&endless().with_stop(last + "never"));
    assert_eq!(with_stop.text, whole.text);
    assert_eq!(with_stop.finish_reason, FinishReason::Length);
    assert_eq!(with_stop.stop, None);
}

#[test]
fn stop_tokens_end_the_text_but_not_too_early() {
    let whole = generate(&endless());
    let third = whole.tokens[2].id;
    let first_at = whole
        .tokens
        .iter()
        .position(|token| token.id == third)
        .unwrap();
    let params = SamplingParams {
        stop_token_ids: vec![third],
        ..endless()
    };
    let stopped = generate(&params);
    assert_eq!(stopped.finish_reason, FinishReason::Stop);
    assert_eq!(stopped.tokens.len(), first_at + 1);
    let later = generate(&SamplingParams {
        min_tokens: 10,
        ..params
    });
    assert!(later.tokens.len() > 10);
    assert!(later.tokens[..10].iter().all(|token| token.id != third));
}

#[test]
fn the_models_own_end_is_banned_as_asked() {
    let model = precise("gqa");
    let end = model.end_of_generation()[0];
    // The end is by far the likeliest token now.
    let eager = SamplingParams {
        logit_bias: [(end, 50.0)].into(),
        ..endless()
    };
    let mut generator = Generator::new(&model);
    let mut run = |params: &SamplingParams| generator.generate("the", params).unwrap();
    let at_once = run(&SamplingParams {
        ignore_eos: false,
        ..eager.clone()
    });
    assert_eq!(at_once.finish_reason, FinishReason::Stop);
    assert_eq!(
        (
            at_once.text.as_str(),
            at_once.tokens.len(),
            at_once.tokens[0].id
        ),
        ("", 1, end)
    );
    let later = run(&SamplingParams {
        ignore_eos: false,
        min_tokens: 7,
        ..eager.clone()
    });
    assert_eq!((later.tokens.len(), later.tokens[7].id), (8, end));
    assert!(run(&eager).tokens.iter().all(|token| token.id != end));
}

#[test]
fn the_end_of_the_context_ends_the_text() {
    let model = load("gqa", Model::builder().context_length(20));
    let prompt = [1, 2, 3, 4, 5];
    for params in [
        SamplingParams {
            max_tokens: None,
            ..endless()
        },
        endless(),
    ] {
        let completion = Generator::new(&model)
            .generate(&prompt[..], &params)
            .unwrap();
        assert_eq!(completion.finish_reason, FinishReason::Length);
        assert_eq!(completion.tokens.len(), 15);
    }
}
