//! Memory after many generations is that after a few. Alone in its process, whose memory it counts.
//!
//! What is counted is what the program holds, allocation by allocation, not resident pages: allocators keep and split pages
//! as they like, and a leak of a hundred bytes a generation would drown in that. What may still differ between two counts is
//! where growing buffers and tables happen to stand (a vector doubles, a channel has a block of slots more or less): far less
//! than a thousand generations would leak.

use std::alloc::System;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use dino_llm::{
    CancelToken, ChatSession, ChatTemplate, Engine, EngineOptions, Generator, Model, Request,
    SamplingParams,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Generations before the first count, and between it and the second one.
const FEW: usize = 10;
const MANY: usize = 990;
/// Bytes that two counts may differ by: about one and a half for each generation between them.
const TOLERANCE: usize = 1536;

/// Bytes that are allocated and not freed.
fn held() -> usize {
    let stats = ALLOCATOR.stats();
    // Reallocations are counted in both as what they add or take away.
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Bytes that `held` is when it has come to rest: threads free what they took from each other a moment later.
fn held_at_rest() -> usize {
    let end = Instant::now() + Duration::from_secs(10);
    let (mut last, mut same) = (held(), 0);
    while same < 5 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
        let now = held();
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    last
}

/// Runs generation after generation, numbered, and compares what is held after a few with what is held after many.
fn check(what: &str, mut generation: impl FnMut(usize)) {
    (0..FEW).for_each(&mut generation);
    let few = held_at_rest();
    (FEW..FEW + MANY).for_each(&mut generation);
    let many = held_at_rest();
    let more = many.saturating_sub(few);
    println!(
        "{what}: {few} bytes after {FEW} generations, {many} after {}",
        FEW + MANY
    );
    assert!(
        more <= TOLERANCE,
        "{what}: {more} bytes more after {MANY} generations more"
    );
}

fn golden(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(path)
}

/// Prompts of different beginnings and lengths, again and again.
fn prompt(number: usize) -> Vec<u32> {
    let length = 3 + number % 5;
    (0..length)
        .map(|at| 4 + ((7 * number + at) % 23) as u32)
        .collect()
}

#[test]
fn a_thousand_generations_leave_what_ten_leave() {
    let model = Model::builder()
        .threads(2)
        .load(golden("tiny/gqa.gguf"))
        .unwrap();
    let sampled = |number: usize| SamplingParams {
        ignore_eos: true,
        ..SamplingParams::balanced()
            .with_seed(number as u64)
            .with_max_tokens(4)
    };

    let mut generator = Generator::new(&model);
    check("Generator", |number| {
        let completion = generator
            .generate(prompt(number), &sampled(number))
            .unwrap();
        assert_eq!(completion.tokens.len(), 4);
    });

    check(
        "a Generator each, its stream dropped, cancelled or finished",
        |number| {
            let mut generator = Generator::new(&model);
            let cancel = CancelToken::new();
            let request = Request::new(prompt(number), &sampled(number)).cancel(&cancel);
            let mut stream = generator.start(request).unwrap();
            stream.next().unwrap().unwrap();
            match number % 3 {
                0 => drop(stream),
                1 => {
                    cancel.cancel();
                    assert!(stream.next().is_none());
                }
                _ => assert_eq!(stream.into_completion().unwrap().tokens.len(), 4),
            }
        },
    );

    let adapter = model
        .adapter(golden("tiny_adapters/all.gguf"), 1.0)
        .unwrap();
    check("adapters in turn", |number| {
        let request = Request::new(prompt(number), &sampled(number));
        let request = if number % 2 == 0 {
            request.adapter(&adapter)
        } else {
            request
        };
        let stream = generator.start(request).unwrap();
        assert_eq!(stream.into_completion().unwrap().tokens.len(), 4);
    });

    // The automata that cut text into words note what they have read, up to a bound of theirs: after a few different answers
    // there is nothing new to these.
    let template = "{% for m in messages %}{{ m['content'] }}{% endfor %}";
    check("a ChatSession each", |number| {
        let template = ChatTemplate::new(template).unwrap();
        let mut session = ChatSession::with_template(&model, template);
        for text in ["lo", "and"] {
            session.send(text, &sampled(number % FEW)).unwrap();
        }
    });

    // An engine remembers texts until its pages are full, which these are before the first count.
    let page = 64 * model.new_cache().layout().bytes_per_position();
    let mut options = EngineOptions::default();
    (options.max_sequences, options.cache_memory) = (4, Some(4 * page));
    let engine = Engine::new(&model, options).unwrap();
    check("Engine", |number| {
        let requests = (0..3).map(|job| {
            let request = Request::new(prompt(number + job), &sampled(number));
            if job == 1 {
                request.adapter(&adapter)
            } else {
                request
            }
        });
        let streams: Vec<_> = requests
            .map(|request| engine.submit(request).unwrap())
            .collect();
        for (job, stream) in streams.into_iter().enumerate() {
            if (number + job) % 4 == 0 {
                drop(stream);
            } else {
                assert_eq!(stream.into_completion().unwrap().tokens.len(), 4);
            }
        }
    });
}
