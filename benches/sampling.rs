//! What choosing a token costs at a vocabulary of 150 thousand, beside the time of a decode step.

use criterion::{Criterion, criterion_group, criterion_main};
use dino_llm::{Sampler, SamplingParams, TokenContext};
use std::hint::black_box;
use std::time::Duration;

const VOCABULARY: usize = 150_000;

/// Logits of a shape that models give: a bell of unlikely tokens, and a hundred likely ones that are `above` it.
fn logits(above: f32) -> Vec<f32> {
    let mut state = 1_u64;
    let mut uniform = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / (1_u64 << 24) as f32
    };
    let bell = |uniform: &mut dyn FnMut() -> f32| (0..6).map(|_| uniform()).sum::<f32>() - 3.0;
    let logit = |id: usize| {
        let likely = if id.is_multiple_of(1500) { above } else { 0.0 };
        likely + 2.0 * bell(&mut uniform)
    };
    (0..VOCABULARY).map(logit).collect()
}

fn settings() -> Vec<(&'static str, SamplingParams)> {
    let plain = SamplingParams::unfiltered(0.8);
    vec![
        ("greedy", SamplingParams::greedy()),
        ("default", SamplingParams::balanced()),
        (
            "top_p",
            SamplingParams {
                top_p: 0.95,
                ..plain.clone()
            },
        ),
        (
            "top_p, flat",
            SamplingParams {
                top_p: 0.95,
                ..plain.clone()
            },
        ),
        (
            "min_p",
            SamplingParams {
                min_p: 0.05,
                ..plain.clone()
            },
        ),
        (
            "typical_p",
            SamplingParams {
                typical_p: 0.95,
                ..plain.clone()
            },
        ),
        ("temperature", plain.clone()),
        (
            "penalties",
            SamplingParams {
                repetition_penalty: 1.1,
                ..SamplingParams::balanced()
            },
        ),
        ("logprobs", SamplingParams::balanced().with_logprobs(5)),
    ]
}

fn sampling(c: &mut Criterion) {
    for (name, params) in settings() {
        // Where a model has no idea, the nucleus has tens of thousands of tokens.
        let above = if name.ends_with("flat") { 8.0 } else { 14.0 };
        let logits = logits(above);
        let mut sampler = Sampler::new(&params.with_seed(1), &[]).expect("valid settings");
        let generated: Vec<u32> = (0..64).collect();
        let context = TokenContext {
            prompt: &[],
            generated: &generated,
        };
        let mut scratch = logits.clone();
        c.bench_function(&format!("sample/{name}"), |bencher| {
            bencher.iter(|| {
                // Penalties change what they are given; to copy is what a forward pass costs at the least.
                scratch.copy_from_slice(&logits);
                black_box(sampler.sample(&mut scratch, &context).expect("a token"));
            });
        });
    }
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group!(name = sampler; config = quick(); targets = sampling);
criterion_main!(sampler);
