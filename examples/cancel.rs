//! How soon a long prompt ends when it is cancelled: cancels it at random moments, over and over, until all of it was read.
//!
//! ```sh
//! cargo run --release --example cancel -- -p 32000 --rope-scaling yarn --rope-scale 4
//! cargo run --release --example cancel -- --model model.gguf -p 32000 --beside 4
//! ```
//!
//! With `--beside` an engine runs it, beside so many texts that go on. What was read before a cancel is remembered, so each
//! request goes on where the last one ended, and cancels come at every depth.

#[path = "shared/loading.rs"]
mod loading;

use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use dino_llm::{
    CancelToken, Completion, Engine, EngineOptions, FinishReason, Generator, Model, Request,
    SamplingParams,
};
use loading::Loading;

/// Measures how soon a prompt ends when it is cancelled.
#[derive(Debug, Parser)]
struct Arguments {
    /// Tokens of the prompt.
    #[arg(short, long, value_name = "TOKENS", default_value_t = 8000)]
    prompt: usize,
    /// Run it in an engine, beside so many texts.
    #[arg(long, value_name = "N", default_value_t = 0)]
    beside: usize,
    /// The longest time in milliseconds between the start of a request and its cancel.
    #[arg(long, value_name = "MS", default_value_t = 500)]
    within: u64,
    #[command(flatten)]
    loading: Loading,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let path = arguments.loading.path()?;
    let model = arguments.loading.builder()?.load(path)?;
    model.warm_up()?;
    let mut random = Random(7);
    let words = model.tokenizer().vocab_size() as u64;
    let prompt: Vec<u32> = (0..arguments.prompt)
        .map(|_| (random.next() % words) as u32)
        .collect();
    let mut runner = Runner::new(&model, arguments.beside)?;
    let mut delays = Vec::new();
    loop {
        let after = Duration::from_micros(random.next() % (1000 * arguments.within.max(1)));
        let (completion, delay) = cancelled(&mut runner, &prompt, after)?;
        if completion.finish_reason != FinishReason::Cancelled {
            break;
        }
        delays.extend(delay);
    }
    delays.sort();
    let at = |share: f64| 1e3 * delays[(share * (delays.len() - 1) as f64) as usize].as_secs_f64();
    if delays.is_empty() {
        return Err("the prompt was read before anything was cancelled".into());
    }
    println!(
        "{} cancels in {} tokens beside {} texts, in pieces of {}: median {:.1} ms, p99 {:.1} ms, most {:.1} ms",
        delays.len(),
        prompt.len(),
        arguments.beside,
        model.prompt_chunk(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

/// Who runs the prompt.
enum Runner {
    Alone(Box<Generator>),
    Engine(Engine),
}

impl Runner {
    fn new(model: &Model, beside: usize) -> Result<Self, dino_llm::Error> {
        if beside == 0 {
            return Ok(Self::Alone(Box::new(Generator::new(model))));
        }
        let engine = Engine::new(model, EngineOptions::default())?;
        let params = SamplingParams {
            ignore_eos: true,
            ..SamplingParams::unfiltered(1.0)
        };
        for text in 0..beside {
            let request = Request::new(format!("Text {text}:"), &params);
            let stream = engine.submit(request)?;
            // They go on until the process ends, or their context does.
            thread::spawn(move || stream.for_each(drop));
        }
        Ok(Self::Engine(engine))
    }

    fn run(&mut self, request: Request) -> Result<Completion, dino_llm::Error> {
        match self {
            Self::Alone(generator) => generator.start(request)?.into_completion(),
            Self::Engine(engine) => engine.submit(request)?.into_completion(),
        }
    }
}

/// Runs the prompt and cancels it a while later; how long it then went on, if it was not over by then.
fn cancelled(
    runner: &mut Runner,
    prompt: &[u32],
    after: Duration,
) -> Result<(Completion, Option<Duration>), dino_llm::Error> {
    let params = SamplingParams::greedy().with_max_tokens(1);
    let token = CancelToken::new();
    let moment = Arc::new(Mutex::new(None));
    let canceller = {
        let (token, moment) = (token.clone(), Arc::clone(&moment));
        thread::spawn(move || {
            thread::sleep(after);
            if let Ok(mut moment) = moment.lock() {
                *moment = Some(Instant::now());
            }
            token.cancel();
        })
    };
    let completion = runner.run(Request::new(prompt, &params).cancel(&token))?;
    let ended = Instant::now();
    let _ = canceller.join();
    let moment = moment.lock().ok().and_then(|moment| *moment);
    Ok((completion, moment.map(|moment| ended - moment)))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
