//! How requests and engines end.

use std::thread;
use std::time::{Duration, Instant};

use dino_llm::{
    CancelToken, Engine, EngineError, EngineOptions, Error, FinishReason, Request, SamplingParams,
};

use crate::common::precise;
use crate::requests::{alone, endless, held, prompt, request, slow};

fn engine() -> Engine {
    Engine::new(&precise("gqa"), EngineOptions::default()).unwrap()
}

fn stopped(error: &Error) -> bool {
    matches!(error, Error::Engine(EngineError::Stopped))
}

#[test]
fn a_stream_joined_is_the_text_and_knows_its_end() {
    let engine = engine();
    let mut stream = engine.submit(Request::new("the", &endless(30))).unwrap();
    let joined: String = stream.by_ref().map(|token| token.unwrap().text).collect();
    assert_eq!(stream.finish_reason(), Some(FinishReason::Length));
    assert_eq!(stream.text(), joined);
    let stats = stream.stats();
    assert!(stats.time_to_first_token >= stats.queue_time);
    assert!(stats.decode_tokens_per_second > 0.0);
    let completion = stream.into_completion().unwrap();
    assert_eq!(completion.text, joined);
    assert_eq!(completion.usage.completion_tokens, 30);
    let expected = dino_llm::Generator::new(engine.model())
        .generate("the", &endless(30))
        .unwrap();
    assert_eq!(
        (completion.text, completion.seed),
        (expected.text, expected.seed)
    );
}

#[test]
fn stop_strings_end_a_text() {
    let engine = engine();
    let ids = prompt(3, 4);
    let whole = alone(engine.model(), &ids, &endless(30));
    let stop: String = whole.text.chars().skip(5).take(2).collect();
    let params = endless(30).with_stop(&stop);
    let stream = engine.submit(request(&ids, &params)).unwrap();
    let stopped = stream.into_completion().unwrap();
    assert_eq!(stopped.text, whole.text[..whole.text.find(&stop).unwrap()]);
    assert_eq!(stopped.finish_reason, FinishReason::Stop);
    assert_eq!(stopped.stop, Some(stop));
}

#[test]
fn a_cancelled_request_ends_alone() {
    let engine = engine();
    let (one, two) = (prompt(1, 9), prompt(2, 9));
    let long = endless(1000);
    let token = CancelToken::new();
    let (asked, hold) = held(request(&one, &long).cancel(&token));
    let mut cancelled = engine.submit(asked).unwrap();
    let other = engine.submit(request(&two, &endless(60))).unwrap();
    cancelled.next().unwrap().unwrap();
    token.cancel();
    drop(hold);
    let cancelled = cancelled.into_completion().unwrap();
    assert_eq!(cancelled.finish_reason, FinishReason::Cancelled);
    let whole = alone(engine.model(), &one, &long).tokens;
    assert_eq!(cancelled.tokens, whole[..cancelled.tokens.len()]);
    let expected = alone(engine.model(), &two, &endless(60)).tokens;
    assert_eq!(other.into_completion().unwrap().tokens, expected);
}

#[test]
fn a_dropped_stream_cancels_its_request_but_not_the_token_it_shares() {
    let options = EngineOptions {
        max_sequences: 1,
        ..EngineOptions::default()
    };
    let engine = Engine::new(&precise("gqa"), options).unwrap();
    let token = CancelToken::new();
    let endless_request = || slow(request(&prompt(1, 9), &endless(100_000)).cancel(&token));
    let mut first = engine.submit(endless_request()).unwrap();
    first.next().unwrap().unwrap();
    let mut second = engine.submit(endless_request()).unwrap();
    drop(first);
    // There is one place only: this comes when the first has left it.
    second.next().unwrap().unwrap();
    assert!(!token.is_cancelled());
}

#[test]
fn a_deadline_ends_what_runs_and_what_waits() {
    let options = EngineOptions {
        max_sequences: 1,
        ..EngineOptions::default()
    };
    let engine = Engine::new(&precise("gqa"), options).unwrap();
    let soon = Duration::from_millis(60);
    let ask = || slow(request(&prompt(1, 9), &endless(100_000))).timeout(soon);
    let streams = [ask(), ask()].map(|request| engine.submit(request).unwrap());
    let started = Instant::now();
    for stream in streams {
        let completion = stream.into_completion().unwrap();
        assert_eq!(completion.finish_reason, FinishReason::Deadline);
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    let past = request(&prompt(1, 9), &endless(5)).deadline(Instant::now());
    let past = engine.submit(past).unwrap().into_completion().unwrap();
    assert_eq!(past.finish_reason, FinishReason::Deadline);
    assert!(past.tokens.is_empty());
}

#[test]
fn a_full_queue_says_busy_and_takes_requests_again_later() {
    let options = EngineOptions {
        max_sequences: 1,
        max_queue: 2,
        ..EngineOptions::default()
    };
    let engine = Engine::new(&precise("gqa"), options).unwrap();
    let ask = |tokens| engine.submit(request(&prompt(1, 9), &endless(tokens)));
    let (running, hold) = held(request(&prompt(1, 9), &endless(400)));
    let mut running = engine.submit(running).unwrap();
    running.next().unwrap().unwrap();
    let waiting = [ask(2).unwrap(), ask(2).unwrap()];
    let error = ask(2).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Engine(EngineError::Busy {
                waiting: 2,
                limit: 2
            })
        ),
        "{error}"
    );
    drop((running, hold));
    for stream in waiting {
        assert_eq!(stream.into_completion().unwrap().tokens.len(), 2);
    }
    ask(2).unwrap().into_completion().unwrap();
}

#[test]
fn draining_finishes_and_shutting_down_does_not() {
    let engine = engine();
    let ask = |tokens| engine.submit(request(&prompt(1, 9), &endless(tokens)));
    let streams = [ask(40).unwrap(), ask(50).unwrap()];
    engine.drain();
    for (stream, tokens) in streams.into_iter().zip([40, 50]) {
        assert_eq!(stream.into_completion().unwrap().tokens.len(), tokens);
    }
    assert!(stopped(&ask(5).unwrap_err()));

    let engine = self::engine();
    let mut stream = engine
        .submit(slow(request(&prompt(1, 9), &endless(100_000))))
        .unwrap();
    stream.next().unwrap().unwrap();
    engine.shutdown();
    assert!(stopped(&stream.into_completion().unwrap_err()));
    let batch = engine.generate_batch([request(&prompt(1, 9), &endless(3))]);
    assert!(stopped(batch[0].as_ref().unwrap_err()));
}

#[test]
fn streams_of_a_dropped_engine_end_with_an_error() {
    let engine = engine();
    let clone = engine.clone();
    let mut stream = engine
        .submit(slow(request(&prompt(1, 9), &endless(100_000))))
        .unwrap();
    drop(engine);
    stream.next().unwrap().unwrap();
    drop(clone);
    let error = stream.find_map(Result::err).unwrap();
    assert!(stopped(&error), "{error}");
    assert_eq!(stream.finish_reason(), Some(FinishReason::Failed));
    assert!(stream.next().is_none());
}

#[test]
fn any_thread_may_ask_and_any_may_read() {
    let engine = engine();
    let params = SamplingParams::greedy().with_max_tokens(10);
    thread::scope(|scope| {
        for number in 0..8 {
            let (engine, params) = (&engine, &params);
            scope.spawn(move || {
                let ids = prompt(number, 20);
                let stream = engine.submit(request(&ids, params)).unwrap();
                let reader = thread::spawn(move || stream.into_completion().unwrap());
                let expected = alone(engine.model(), &ids, params);
                assert_eq!(reader.join().unwrap().tokens, expected.tokens);
            });
        }
    });
}
