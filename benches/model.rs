//! A whole model: how long it takes to load, to the first token, through a prompt and for each token of an answer; and what
//! becomes of that where there are more threads than processors.
//!
//! `DINO_MODEL` names the file; without it the default model is fetched once. Compare figures of one run only.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dino_llm::{Generator, Model, Request, SamplingParams, TokenStream, default_model};
use std::path::PathBuf;
use std::time::Duration;

fn path() -> PathBuf {
    match std::env::var_os("DINO_MODEL") {
        Some(path) => path.into(),
        None => default_model::ensure(|_| ()).expect("the default model"),
    }
}

/// Runs a prompt of so many tokens, and an answer of so many.
fn run(model: &Model, prompt: usize, answer: usize) {
    let params = SamplingParams {
        ignore_eos: true,
        ..SamplingParams::greedy().with_max_tokens(answer)
    };
    let vocabulary = model.tokenizer().vocab_size();
    let tokens: Vec<u32> = (0..prompt)
        .map(|i| (i * 7919 % vocabulary) as u32)
        .collect();
    let mut generator = Generator::new(model);
    let stream = generator.start(Request::new(tokens, &params));
    let completion = stream.and_then(TokenStream::into_completion);
    assert_eq!(completion.expect("an answer").tokens.len(), answer);
}

fn loads(c: &mut Criterion) {
    let (path, folder) = (path(), tempfile::tempdir().expect("a folder"));
    let packed = folder.path().join("packed");
    let mut group = c.benchmark_group("load");
    group.bench_function("plain", |bencher| {
        bencher.iter(|| Model::load(&path).expect("the model"));
    });
    let load_packed = || {
        let builder = Model::builder().packed_cache(&packed);
        builder.load(&path).expect("the model")
    };
    drop(load_packed());
    group.bench_function("packed", |bencher| bencher.iter(load_packed));
    group.bench_function("packed, first token of 32", |bencher| {
        bencher.iter(|| run(&load_packed(), 32, 1));
    });
    group.finish();
}

fn texts(c: &mut Criterion) {
    let path = path();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut threads = vec![1, processors, 4 * processors];
    threads.dedup();
    for threads in threads {
        let model = Model::builder().threads(threads).load(&path);
        let model = model.expect("the model");
        let mut group = c.benchmark_group(format!("{threads} threads"));
        for (name, prompt, answer) in [("pp512", 512, 1), ("first token of 32", 32, 1)] {
            group.throughput(Throughput::Elements(prompt as u64));
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter(|| run(&model, prompt, answer));
            });
        }
        group.throughput(Throughput::Elements(64));
        group.bench_function("tg64", |bencher| bencher.iter(|| run(&model, 1, 64)));
        group.finish();
    }
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
}

criterion_group!(name = model; config = quick(); targets = loads, texts);
criterion_main!(model);
