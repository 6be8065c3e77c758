//! Ten thousand requests that come, are cancelled, dropped, late, broken, in a cache that holds few of them.

use std::thread;
use std::time::Duration;

use dino_llm::{
    CancelToken, Engine, EngineError, EngineOptions, EngineStream, Error, FinishReason, Model,
    Request, SamplingParams, TokenContext,
};

use crate::common::load;
use crate::requests::{alone, endless, prompt};

const REQUESTS: usize = 10_000;
const CLIENTS: usize = 4;

/// The same numbers on every run (Knuth, MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

#[test]
fn ten_thousand_requests_leave_nothing_behind() {
    let model = load("gqa", Model::builder().threads(2));
    let page = model.new_cache().layout().page_bytes();
    let options = EngineOptions {
        cache_memory: Some(9 * page),
        max_queue: 40,
        max_sequences: 6,
        max_batch_tokens: Some(48),
        ..EngineOptions::default()
    };
    let engine = Engine::new(&model, options).unwrap();
    let submitted: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let engine = engine.clone();
                scope.spawn(move || be_a_client(&engine, client))
            })
            .collect();
        let counts = clients.into_iter().map(|client| client.join().unwrap());
        counts.sum()
    });
    assert_eq!(submitted, REQUESTS);
    // What was dropped may still be there for a step.
    let idle = (0..1000).find_map(|_| {
        thread::sleep(Duration::from_millis(5));
        let counts = engine.metrics().snapshot();
        (counts.running + counts.waiting == 0 && counts.finished.total() == REQUESTS as u64)
            .then_some(counts)
    });
    let counts = idle.expect("no request is stuck");
    assert_eq!(counts.cache_pages, counts.cache_pages_remembered);
    assert!(counts.cache_pages <= counts.cache_pages_limit);
    assert!(counts.preemptions > 0, "the cache was too small for all");
    assert!(counts.cached_tokens > 0);
    assert!(counts.finished.cancelled > 100 && counts.finished.failed > 100);
    // It works as on its first day.
    let ids = prompt(77, 50);
    let stream = engine.submit(Request::new(&ids[..], &endless(20))).unwrap();
    let answer = stream.into_completion().unwrap();
    assert_eq!(answer.tokens, alone(&model, &ids, &endless(20)).tokens);
    engine.drain();
    assert_eq!(engine.metrics().snapshot().cache_pages, 0);
}

/// Sends its part of the requests and sees each to its end; says how many that were.
fn be_a_client(engine: &Engine, client: usize) -> usize {
    let mut random = Random(client as u64 + 1);
    let mut open: Vec<EngineStream> = Vec::new();
    for number in 0..REQUESTS / CLIENTS {
        let stream = loop {
            match engine.submit(request(&mut random, number)) {
                Ok(stream) => break stream,
                Err(Error::Engine(EngineError::Busy { .. })) => thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        };
        match random.below(8) {
            0 => drop(stream),
            1 => stream.cancel_token().cancel(),
            2 => {
                let _ = stream.take(2).count();
            }
            _ => open.push(stream),
        }
        if open.len() > 12 {
            finish(open.swap_remove(random.below(12)));
        }
    }
    open.into_iter().for_each(finish);
    REQUESTS / CLIENTS
}

fn request(random: &mut Random, number: usize) -> Request {
    // A few beginnings that many share.
    let mut ids = prompt(random.below(5), random.below(120) + 1);
    ids.extend(prompt(number, random.below(20)));
    let params = SamplingParams {
        seed: Some(number as u64),
        ..endless(1 + random.below(25))
    };
    let request = Request::new(ids, &params).priority(random.below(3) as i32);
    match random.below(12) {
        0 => request.timeout(Duration::from_micros(random.below(3000) as u64)),
        1 => request.processor(|context: &TokenContext<'_>, logits: &mut [f32]| {
            if context.generated.len() > 2 {
                logits.fill(f32::NAN);
            }
        }),
        2 => {
            let token = CancelToken::new();
            let cancel = token.clone();
            let at = random.below(10);
            request
                .cancel(&token)
                .processor(move |context: &TokenContext<'_>, _: &mut [f32]| {
                    if context.generated.len() == at {
                        cancel.cancel();
                    }
                })
        }
        _ => request,
    }
}

fn finish(stream: EngineStream) {
    match stream.into_completion() {
        Ok(completion) => assert_ne!(completion.finish_reason, FinishReason::Failed),
        Err(Error::Sampling(_)) => {}
        Err(error) => panic!("{error}"),
    }
}
