//! What the tests ask for.

use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use dino_llm::{Completion, Generator, Model, Request, SamplingParams, TokenContext};

/// Goes on for `tokens`, whatever the model says.
pub(crate) fn endless(tokens: usize) -> SamplingParams {
    SamplingParams {
        ignore_eos: true,
        ..SamplingParams::unfiltered(1.0)
            .with_seed(tokens as u64)
            .with_max_tokens(tokens)
    }
}

/// A prompt of `tokens` tokens that no other `number` begins with.
pub(crate) fn prompt(number: usize, tokens: usize) -> Vec<u32> {
    let ids = (0..tokens).map(|at| 5 + (number * 31 + at * 7 + at * at % 11) as u32 % 200);
    ids.collect()
}

/// What the request gives when nothing else runs.
pub(crate) fn alone(model: &Model, prompt: &[u32], params: &SamplingParams) -> Completion {
    Generator::new(model).generate(prompt, params).unwrap()
}

pub(crate) fn request(prompt: &[u32], params: &SamplingParams) -> Request {
    Request::new(prompt, params)
}

/// A request that stops the whole engine behind its first token, until what is returned beside it is dropped.
pub(crate) fn held(request: Request) -> (Request, Sender<()>) {
    let (hold, release) = channel();
    let wait = move |context: &TokenContext<'_>, _: &mut [f32]| {
        if !context.generated.is_empty() {
            let _ = release.recv();
        }
    };
    (request.processor(wait), hold)
}

/// A request that takes its time for every token.
pub(crate) fn slow(request: Request) -> Request {
    request.processor(|_: &TokenContext<'_>, _: &mut [f32]| thread::sleep(Duration::from_millis(2)))
}
