//! A second implementation of the filters, as plain as can be, and the tests of the first against it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::filters::{Candidates, Scratch};
use super::random::SplitMix64;
use super::{
    LogitsProcessor, ProcessorError, Sampler, SamplingError, SamplingParams, TokenContext,
};

/// Ids with normalised probabilities.
type Distribution = Vec<(u32, f64)>;

fn softmax(logits: &[f32]) -> Distribution {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights = (0..)
        .zip(logits)
        .filter(|(_, logit)| **logit > f32::NEG_INFINITY);
    normalised(
        weights
            .map(|(id, logit)| (id, (f64::from(*logit) - f64::from(max)).exp()))
            .collect(),
    )
}

fn normalised(mut distribution: Distribution) -> Distribution {
    let total: f64 = distribution.iter().map(|(_, p)| p).sum();
    distribution.iter_mut().for_each(|(_, p)| *p /= total);
    distribution
}

fn top_k(mut distribution: Distribution, count: usize) -> Distribution {
    distribution.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    distribution.truncate(if count == 0 { usize::MAX } else { count });
    normalised(distribution)
}

fn prefix(mut distribution: Distribution, mass: f64) -> Distribution {
    let mut sum = 0.0;
    let mut before = |&(_, p): &(u32, f64)| {
        let reached = sum >= mass;
        sum += p;
        !reached
    };
    let len = distribution
        .iter()
        .take_while(|entry| before(entry))
        .count()
        .max(1);
    distribution.truncate(len);
    normalised(distribution)
}

fn top_p(distribution: Distribution, mass: f64) -> Distribution {
    prefix(top_k(distribution, 0), mass)
}

fn typical(mut distribution: Distribution, mass: f64) -> Distribution {
    let surprise = |p: f64| if p > 0.0 { -p.ln() } else { f64::MAX };
    let entropy: f64 = distribution
        .iter()
        .map(|&(_, p)| if p > 0.0 { p * surprise(p) } else { 0.0 })
        .sum();
    let distance = |p: f64| (surprise(p) - entropy).abs();
    distribution.sort_by(|a, b| distance(a.1).total_cmp(&distance(b.1)).then(a.0.cmp(&b.0)));
    prefix(distribution, mass)
}

fn min_p(mut distribution: Distribution, fraction: f64) -> Distribution {
    let max = distribution.iter().map(|(_, p)| *p).fold(0.0, f64::max);
    distribution.retain(|(_, p)| *p >= fraction * max);
    normalised(distribution)
}

fn chain(logits: &[f32], params: &SamplingParams) -> Distribution {
    let mut distribution = top_k(softmax(logits), params.top_k);
    if params.typical_p < 1.0 {
        distribution = typical(distribution, f64::from(params.typical_p));
    }
    distribution = min_p(
        top_p(distribution, f64::from(params.top_p)),
        f64::from(params.min_p),
    );
    let exponent = 1.0 / f64::from(params.temperature);
    normalised(
        distribution
            .into_iter()
            .map(|(id, p)| (id, p.powf(exponent)))
            .collect(),
    )
}

fn ids(candidates: &mut Candidates<'_>) -> Vec<u32> {
    let mut ids: Vec<u32> = candidates
        .listed()
        .iter()
        .map(|candidate| candidate.id)
        .collect();
    ids.sort_unstable();
    ids
}

fn sorted_ids(distribution: &Distribution) -> Vec<u32> {
    let mut ids: Vec<u32> = distribution.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids
}

fn any_logits() -> impl Strategy<Value = Vec<f32>> {
    let logit = prop_oneof![8 => -12.0_f32..12.0, 1 => Just(f32::NEG_INFINITY), 1 => Just(2.5_f32)];
    prop::collection::vec(logit, 1..400).prop_filter("one is left", |logits| {
        logits.iter().any(|logit| logit.is_finite())
    })
}

proptest! {
    #[test]
    fn top_k_keeps_what_sorting_keeps(logits in any_logits(), count in 0..500_usize) {
        let mut scratch = Scratch::default();
        let mut candidates = Candidates::gather(&logits, count, &mut scratch);
        prop_assert_eq!(ids(&mut candidates), sorted_ids(&top_k(softmax(&logits), count)));
    }

    /// Rounding may move the end of a prefix, so the mass is asked for a little less and a little more.
    #[test]
    fn nucleus_and_typical_keep_the_right_prefix(logits in any_logits(), mass in 0.0_f32..1.0) {
        type Reference = fn(Distribution, f64) -> Distribution;
        type Filter = fn(&mut Candidates<'_>, f32);
        let filters: [(Filter, Reference); 2] = [
            (|kept, mass| kept.keep_nucleus(mass), top_p),
            (|kept, mass| kept.keep_typical(mass), typical),
        ];
        for (filter, reference) in filters {
            let mut scratch = Scratch::default();
            let mut candidates = Candidates::gather(&logits, 0, &mut scratch);
            filter(&mut candidates, mass);
            let bounds = [-1e-5, 1e-5].map(|error| sorted_ids(&reference(softmax(&logits), f64::from(mass) + error)));
            let found = ids(&mut candidates);
            prop_assert!(bounds[0].iter().all(|id| found.contains(id)), "{found:?} lacks some of {:?}", bounds[0]);
            prop_assert!(found.iter().all(|id| bounds[1].contains(id)), "{found:?} exceeds {:?}", bounds[1]);
        }
    }

    #[test]
    fn min_p_keeps_what_is_likely_enough(logits in any_logits(), fraction in 0.0_f32..1.0) {
        let mut scratch = Scratch::default();
        let mut candidates = Candidates::gather(&logits, 0, &mut scratch);
        candidates.keep_relative(fraction);
        let bounds = [1e-5, -1e-5].map(|error| min_p(softmax(&logits), f64::from(fraction) + error));
        prop_assert!((bounds[0].len()..=bounds[1].len()).contains(&candidates.listed().len()));
    }

    /// Whatever the settings, a token that was not masked comes out.
    #[test]
    fn a_draw_is_always_a_live_token(
        logits in any_logits(), k in 0..50_usize, p in 0.0_f32..=1.0, m in 0.0_f32..=1.0, t in 0.0_f32..=1.0,
        temperature in prop_oneof![Just(0.0_f32), Just(1e-30), Just(1e30), 0.1_f32..2.0], seed: u64,
    ) {
        let params = SamplingParams {
            temperature, top_k: k, top_p: p, min_p: m, typical_p: t, seed: Some(seed), ..SamplingParams::default()
        };
        let mut sampler = Sampler::new(&params, &[]).unwrap();
        let id = sampler.sample(&mut logits.clone(), &TokenContext::default()).unwrap().id;
        prop_assert!(logits[id as usize].is_finite());
    }
}

/// Fifty logits of a shape that models give: few likely tokens, a long tail, two equal ones.
fn example_logits() -> Vec<f32> {
    let mut logits: Vec<f32> = (0..50)
        .map(|i| -0.4 * (((i * 37) % 50) as f32).sqrt() * 2.0)
        .collect();
    logits[7] = logits[11];
    logits
}

fn settings() -> Vec<(&'static str, SamplingParams)> {
    let plain = SamplingParams::unfiltered(1.0);
    let with = |name, change: fn(&mut SamplingParams)| {
        let mut params = plain.clone();
        change(&mut params);
        (name, params)
    };
    vec![
        with("nothing", |_| ()),
        with("temperature", |p| p.temperature = 1.7),
        with("top_k", |p| p.top_k = 9),
        with("top_p", |p| p.top_p = 0.8),
        with("min_p", |p| p.min_p = 0.07),
        with("typical_p", |p| p.typical_p = 0.6),
        with("all", |p| {
            *p = SamplingParams {
                typical_p: 0.97,
                ..SamplingParams::balanced()
            };
        }),
    ]
}

fn draws(logits: &[f32], params: &SamplingParams, seed: u64, count: usize) -> Vec<u32> {
    let mut sampler = Sampler::new(&params.clone().with_seed(seed), &[]).unwrap();
    let mut scratch = logits.to_vec();
    (0..count)
        .map(|_| {
            scratch.copy_from_slice(logits);
            sampler
                .sample(&mut scratch, &TokenContext::default())
                .unwrap()
                .id
        })
        .collect()
}

#[test]
fn samples_follow_the_exact_distribution() {
    const DRAWS: usize = 200_000;
    for (name, params) in settings() {
        let expected = chain(&example_logits(), &params);
        let mut counts = BTreeMap::new();
        for id in draws(&example_logits(), &params, 42, DRAWS) {
            *counts.entry(id).or_insert(0_usize) += 1;
        }
        let drawn: usize = expected.iter().filter_map(|(id, _)| counts.get(id)).sum();
        assert_eq!(
            drawn, DRAWS,
            "{name}: a token outside the survivors was drawn"
        );
        let chi_square: f64 = expected
            .iter()
            .map(|(id, p)| {
                let mean = p * DRAWS as f64;
                (counts.get(id).copied().unwrap_or(0) as f64 - mean).powi(2) / mean
            })
            .sum();
        let freedom = (expected.len() - 1) as f64;
        let limit = freedom + 4.0 * (2.0 * freedom).sqrt();
        assert!(
            chi_square < limit,
            "{name}: chi-square {chi_square} at {freedom} degrees of freedom"
        );
    }
}

#[test]
fn a_seed_fixes_the_draws() {
    for (name, params) in settings() {
        let drawn = |seed| draws(&example_logits(), &params, seed, 100);
        assert_eq!(drawn(3), drawn(3), "{name}");
        assert_ne!(drawn(3), drawn(4), "{name}");
    }
}

/// The same uniform numbers through the plain implementation: top-k leaves its survivors likeliest first, the others leave
/// the order alone.
#[test]
fn draws_are_those_of_the_inverse_distribution_function() {
    check_draws(&example_logits(), 1000);
}

/// A vocabulary of real size: a few likely tokens, far more that together still matter.
#[test]
fn draws_of_a_large_vocabulary_are_too() {
    let mut random = SplitMix64::new(9);
    let mut logit = |id: u32| match id % 5000 {
        17 => 9.0 + 3.0 * random.unit() as f32,
        18 => f32::NEG_INFINITY,
        _ => -3.0 + 6.0 * random.unit() as f32,
    };
    let logits: Vec<f32> = (0..150_000).map(&mut logit).collect();
    check_draws(&logits, 50);
}

fn check_draws(logits: &[f32], count: usize) {
    for (name, params) in settings().into_iter().filter(|(name, _)| *name != "all") {
        let mut distribution = chain(logits, &params);
        if params.top_k == 0 {
            distribution.sort_by_key(|(id, _)| *id);
        }
        let mut random = SplitMix64::new(5);
        let expected: Vec<u32> = (0..count)
            .map(|_| {
                let unit = random.unit();
                let mut sum = 0.0;
                let reaches = |entry: &&(u32, f64)| {
                    sum += entry.1;
                    sum > unit
                };
                distribution.iter().find(reaches).unwrap().0
            })
            .collect();
        assert_eq!(draws(logits, &params, 5, count), expected, "{name}");
    }
}

#[test]
fn greedy_takes_the_first_of_the_greatest() {
    let mut sampler = Sampler::new(&SamplingParams::greedy(), &[]).unwrap();
    let mut logits = [0.0, 3.0, 3.0, -1.0];
    assert_eq!(
        sampler
            .sample(&mut logits, &TokenContext::default())
            .unwrap()
            .id,
        1
    );
}

#[test]
fn logprobs_are_the_models_own() {
    let params = SamplingParams {
        logit_bias: [(0, 50.0)].into(),
        ..SamplingParams::greedy().with_logprobs(3)
    };
    let mut logits = example_logits();
    let expected = top_k(softmax(&logits), 0);
    let token = Sampler::new(&params, &[])
        .unwrap()
        .sample(&mut logits, &TokenContext::default())
        .unwrap();
    assert_eq!(token.id, 0);
    assert_eq!(token.top_logprobs.len(), 3);
    for (found, (id, p)) in token.top_logprobs.iter().zip(&expected) {
        assert_eq!(found.id, *id);
        assert!((f64::from(found.logprob) - p.ln()).abs() < 1e-6);
    }
    let p = expected.iter().find(|(id, _)| *id == 0).unwrap().1;
    assert!((f64::from(token.logprob.unwrap()) - p.ln()).abs() < 1e-6);
}

#[test]
fn damaged_or_fully_masked_logits_are_errors() {
    for params in [SamplingParams::greedy(), SamplingParams::balanced()] {
        let mut sampler = Sampler::new(&params, &[]).unwrap();
        let mut sample = |logits: &mut [f32]| sampler.sample(logits, &TokenContext::default());
        for bad in [f32::NAN, f32::INFINITY] {
            let found = sample(&mut [0.0, bad, 1.0]);
            assert!(matches!(
                found,
                Err(SamplingError::InvalidLogit { id: 1, .. })
            ));
        }
        let found = sample(&mut [f32::NEG_INFINITY; 3]);
        assert!(matches!(
            found,
            Err(SamplingError::AllMasked { vocabulary: 3 })
        ));
        assert!(matches!(
            sample(&mut []),
            Err(SamplingError::AllMasked { vocabulary: 0 })
        ));
    }
}

#[test]
fn ends_are_banned_until_min_tokens_and_under_ignore_eos() {
    let sample = |params: &SamplingParams, generated: &[u32]| {
        let mut sampler = Sampler::new(params, &[0]).unwrap();
        let context = TokenContext {
            prompt: &[],
            generated,
        };
        sampler.sample(&mut [9.0, 8.0, 7.0], &context).unwrap().id
    };
    let least = SamplingParams {
        min_tokens: 2,
        stop_token_ids: vec![1],
        ..SamplingParams::greedy()
    };
    assert_eq!(sample(&least, &[5]), 2);
    assert_eq!(sample(&least, &[5, 5]), 0);
    let endless = SamplingParams {
        ignore_eos: true,
        stop_token_ids: vec![1],
        ..SamplingParams::greedy()
    };
    assert_eq!(sample(&endless, &[]), 1);
}

#[test]
fn processors_run_first_and_their_failure_is_kept() {
    struct Failing;
    impl LogitsProcessor for Failing {
        fn process(&mut self, _: &TokenContext<'_>, _: &mut [f32]) -> Result<(), ProcessorError> {
            Err("no grammar rule fits".into())
        }
    }
    let mut sampler = Sampler::new(&SamplingParams::greedy(), &[]).unwrap();
    sampler.add_processor(Box::new(
        |context: &TokenContext<'_>, logits: &mut [f32]| {
            logits[context.prompt[0] as usize] = f32::NEG_INFINITY;
        },
    ));
    let context = TokenContext {
        prompt: &[0],
        generated: &[],
    };
    assert_eq!(
        sampler.sample(&mut [5.0, 1.0, 2.0], &context).unwrap().id,
        2
    );

    sampler.add_processor(Box::new(Failing));
    let error = sampler.sample(&mut [5.0, 1.0, 2.0], &context).unwrap_err();
    assert!(matches!(error, SamplingError::Processor { index: 1, .. }));
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "no grammar rule fits"
    );
}
