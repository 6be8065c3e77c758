//! From the model's logits to tokens.

use dino_llm::{Error, Generator, Request, SamplingError, SamplingParams, TokenContext};

use crate::common::{goldens, precise};

fn prompt() -> Vec<u32> {
    goldens()
        .into_iter()
        .find(|golden| golden.name == "gqa")
        .unwrap()
        .ids
}

#[test]
fn greedy_takes_the_likeliest_token_of_transformers() {
    for golden in goldens() {
        let model = precise(&golden.name);
        let mut generator = Generator::new(&model);
        let expected = golden.logits();
        for (position, row) in expected.chunks_exact(golden.vocabulary).enumerate() {
            let best = (0..row.len())
                .max_by(|&a, &b| row[a].total_cmp(&row[b]))
                .unwrap();
            let params = SamplingParams::greedy().with_max_tokens(1);
            let completion = generator
                .generate(&golden.ids[..=position], &params)
                .unwrap();
            assert_eq!(
                completion.tokens[0].id as usize, best,
                "{} at {position}",
                golden.name
            );
        }
    }
}

#[test]
fn log_probabilities_are_those_of_transformers() {
    let golden = goldens()
        .into_iter()
        .find(|golden| golden.name == "gqa")
        .unwrap();
    let logits = golden.logits();
    let last = &logits[logits.len() - golden.vocabulary..];
    let log_sum = last.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
    let params = SamplingParams::unfiltered(1.5)
        .with_seed(5)
        .with_max_tokens(1)
        .with_logprobs(4);
    let completion = Generator::new(&precise("gqa"))
        .generate(&golden.ids[..], &params)
        .unwrap();
    let token = &completion.tokens[0];
    let near = |id: u32, logprob: f32| {
        let expected = f64::from(last[id as usize]) - log_sum;
        assert!(
            (f64::from(logprob) - expected).abs() < 1e-4,
            "{id}: {logprob} instead of {expected}"
        );
    };
    near(token.id, token.logprob.unwrap());
    assert_eq!(token.top_logprobs.len(), 4);
    for top in &token.top_logprobs {
        near(top.id, top.logprob);
    }
    assert!(
        token
            .top_logprobs
            .is_sorted_by(|a, b| a.logprob >= b.logprob)
    );
}

#[test]
fn a_seed_repeats_a_text_and_the_reported_one_too() {
    let mut generator = Generator::new(&precise("gqa"));
    let params = SamplingParams::unfiltered(1.0).with_max_tokens(20);
    let mut run = |params: &SamplingParams| generator.generate(&prompt()[..], params).unwrap();
    let first = run(&params.clone().with_seed(11));
    assert_eq!(run(&params.clone().with_seed(11)).tokens, first.tokens);
    assert_ne!(run(&params.clone().with_seed(12)).tokens, first.tokens);
    let fresh = run(&params);
    assert_eq!(
        run(&params.clone().with_seed(fresh.seed)).tokens,
        fresh.tokens
    );
}

#[test]
fn biases_and_processors_change_the_choice() {
    let mut generator = Generator::new(&precise("gqa"));
    let params = SamplingParams {
        ignore_eos: true,
        ..SamplingParams::greedy().with_max_tokens(3)
    };
    let free = generator.generate(&prompt()[..], &params).unwrap();
    let best = free.tokens[0].id;

    let banned = SamplingParams {
        logit_bias: [(best, f32::NEG_INFINITY)].into(),
        ..params.clone()
    };
    let other = generator.generate(&prompt()[..], &banned).unwrap();
    assert!(other.tokens.iter().all(|token| token.id != best));

    let counted = move |context: &TokenContext<'_>, logits: &mut [f32]| {
        assert_eq!(context.prompt, prompt());
        logits.fill(f32::NEG_INFINITY);
        logits[100 + context.generated.len()] = 0.0;
    };
    let request = Request::new(&prompt()[..], &params).processor(counted);
    let forced = generator.start(request).unwrap().into_completion().unwrap();
    assert_eq!(
        forced
            .tokens
            .iter()
            .map(|token| token.id)
            .collect::<Vec<_>>(),
        [100, 101, 102]
    );
}

#[test]
fn wrong_parameters_and_processors_are_errors() {
    let mut generator = Generator::new(&precise("gqa"));
    let wrong = SamplingParams {
        top_p: 2.0,
        ..SamplingParams::default()
    };
    let error = generator.generate(&prompt()[..], &wrong).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Sampling(SamplingError::OutOfRange { field: "top_p", .. })
        ),
        "{error}"
    );

    let outside = SamplingParams {
        logit_bias: [(999, 1.0)].into(),
        ..SamplingParams::default()
    };
    let error = generator.generate(&prompt()[..], &outside).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Sampling(SamplingError::BiasOutOfVocabulary {
                id: 999,
                vocabulary: 282
            })
        ),
        "{error}"
    );

    let mask = |_: &TokenContext<'_>, logits: &mut [f32]| logits.fill(f32::NEG_INFINITY);
    let request = Request::new(&prompt()[..], &SamplingParams::default()).processor(mask);
    let mut stream = generator.start(request).unwrap();
    let error = stream.next().unwrap().unwrap_err();
    assert!(
        matches!(error, Error::Sampling(SamplingError::AllMasked { .. })),
        "{error}"
    );
    assert!(stream.next().is_none(), "an error ends the stream");
}
