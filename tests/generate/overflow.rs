//! Texts that are longer than the context.

use dino_llm::{
    Completion, ContextOverflow, Error, FinishReason, Generator, Model, ModelError, Request,
    SamplingParams,
};

use crate::common::load;

const CONTEXT: usize = 24;

fn model() -> Model {
    load("gqa", Model::builder().context_length(CONTEXT))
}

fn greedy(tokens: usize) -> SamplingParams {
    SamplingParams {
        ignore_eos: true,
        ..SamplingParams::greedy()
            .with_max_tokens(tokens)
            .with_logprobs(2)
    }
}

fn prompt(tokens: u32) -> Vec<u32> {
    (0..tokens).map(|at| 5 + at * 37 % 200).collect()
}

fn run(generator: &mut Generator, ids: &[u32], tokens: usize, how: ContextOverflow) -> Completion {
    let request = Request::new(ids, &greedy(tokens)).overflow(how);
    generator.start(request).unwrap().into_completion().unwrap()
}

fn fresh(model: &Model, ids: &[u32], tokens: usize) -> Completion {
    let mut generator = Generator::new(model);
    generator.generate(ids, &greedy(tokens)).unwrap()
}

#[test]
fn without_a_policy_a_long_prompt_is_an_error() {
    let mut generator = Generator::new(&model());
    for request in [
        Request::new(prompt(30), &greedy(4)),
        Request::new(prompt(30), &greedy(4)).overflow(ContextOverflow::Error),
    ] {
        let error = generator.start(request).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Model(ModelError::ContextOverflow {
                    needed: 31,
                    limit: CONTEXT
                })
            ),
            "{error}"
        );
    }
}

#[test]
fn a_truncated_prompt_gives_what_its_tokens_give() {
    let (model, ids) = (model(), prompt(30));
    let mut generator = Generator::new(&model);
    let middle = [&ids[..10], &ids[20..]].concat();
    for (how, kept) in [
        (ContextOverflow::TruncateHead, &ids[10..]),
        (ContextOverflow::TruncateMiddle, &middle[..]),
        (ContextOverflow::TruncateTail, &ids[..20]),
    ] {
        let found = run(&mut generator, &ids, 4, how);
        assert_eq!(found.tokens, fresh(&model, kept, 4).tokens, "{how:?}");
        let usage = found.usage;
        assert_eq!((usage.prompt_tokens, usage.truncated_tokens), (20, 10));
        assert_eq!(found.finish_reason, FinishReason::Length);
        // What fits is left alone.
        let whole = run(&mut generator, &ids[..20], 4, how);
        assert_eq!(whole.tokens, fresh(&model, &ids[..20], 4).tokens);
        assert_eq!(whole.usage.truncated_tokens, 0);
    }
}

#[test]
fn the_token_that_begins_a_text_stays_at_its_head() {
    let model = model();
    let begin = model.tokenizer().special().bos.unwrap();
    let ids = [&[begin][..], &prompt(29)].concat();
    let kept = [&[begin][..], &ids[11..]].concat();
    let how = ContextOverflow::TruncateHead;
    let found = run(&mut Generator::new(&model), &ids, 4, how);
    assert_eq!(found.tokens, fresh(&model, &kept, 4).tokens);
}

#[test]
fn a_sliding_text_is_at_every_token_what_a_fresh_run_of_the_kept_ones_gives() {
    let model = model();
    let mut generator = Generator::new(&model);
    for (length, keep) in [(10, 3), (10, 0), (23, 4), (5, 100)] {
        let ids = prompt(length);
        let found = run(&mut generator, &ids, 80, ContextOverflow::Slide { keep });
        assert_eq!(found.finish_reason, FinishReason::Length);
        let (mut window, mut dropped) = (ids, 0);
        assert_eq!(found.tokens.len(), 80);
        for (at, token) in found.tokens.iter().enumerate() {
            let next = fresh(&model, &window, 1);
            let (one, other) = (token, &next.tokens[0]);
            assert_eq!((one.id, one.logprob), (other.id, other.logprob), "{at}");
            window.push(token.id);
            if window.len() == CONTEXT && at < 79 {
                let keep = keep.min(CONTEXT - 2);
                let newest = (CONTEXT - keep) / 2;
                dropped += window.len() - keep - newest;
                window.drain(keep..CONTEXT - newest);
            }
        }
        assert!(dropped > 50, "{dropped}");
        assert_eq!(found.usage.truncated_tokens, dropped);
        assert_eq!(found.usage.completion_tokens, 80);
    }
}

#[test]
fn a_long_prompt_slides_before_it_is_run_and_an_answer_needs_no_limit() {
    let model = model();
    let ids = prompt(60);
    let params = SamplingParams {
        max_tokens: None,
        ..greedy(1)
    };
    let request = Request::new(&ids[..], &params).overflow(ContextOverflow::Slide { keep: 4 });
    let mut generator = Generator::new(&model);
    let mut stream = generator.start(request).unwrap();
    let first: Vec<_> = stream.by_ref().take(5).map(Result::unwrap).collect();
    let kept = [&ids[..4], &ids[50..]].concat();
    assert_eq!(first, fresh(&model, &kept, 5).tokens);
    let more: Vec<_> = stream.by_ref().take(200).map(Result::unwrap).collect();
    assert_eq!((more.len(), stream.finish_reason()), (200, None));
    // What the generator remembers is still a text of its own.
    drop(stream);
    let next = run(&mut generator, &kept, 5, ContextOverflow::Error);
    assert_eq!(next.tokens, first);
    assert_eq!(next.usage.cached_tokens, 4);
}
