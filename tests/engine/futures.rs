//! Streams as futures know them, without any runtime.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use dino_llm::{Engine, EngineOptions, FinishReason, SamplingParams};
use futures_core::Stream;

use crate::common::precise;
use crate::requests::{alone, endless, prompt, request, slow};

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls until there is an answer, and sleeps between.
fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match Pin::new(&mut *stream).poll_next(&mut context) {
            Poll::Ready(item) => return item,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn a_polled_stream_gives_the_same_tokens_and_ends() {
    let engine = Engine::new(&precise("gqa"), EngineOptions::default()).unwrap();
    let ids = prompt(1, 20);
    let mut streams = [3, 30].map(|tokens| {
        let request = slow(request(&ids, &endless(tokens)));
        (tokens, engine.submit(request).unwrap())
    });
    for (tokens, stream) in &mut streams {
        let found: Vec<_> = std::iter::from_fn(|| next(stream))
            .map(Result::unwrap)
            .collect();
        let params: SamplingParams = endless(*tokens);
        assert_eq!(found, alone(engine.model(), &ids, &params).tokens);
        assert_eq!(stream.finish_reason(), Some(FinishReason::Length));
        assert!(next(stream).is_none());
    }
}
