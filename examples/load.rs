//! What an engine does under load: many requests of mixed length together, against the same one after another.
//!
//! ```sh
//! cargo run --release --example load
//! cargo run --release --example load -- --model model.gguf --requests 64 --parallel 16 --prefix 2000 --json
//! ```
//!
//! It prints generated tokens a second both ways, how long first tokens and tokens after them took, what a shared
//! beginning saves the second request that has it, and what guessing ahead gains where the model repeats a passage and
//! where it writes something new. It also checks that each text is the same both ways.

#[path = "shared/loading.rs"]
mod loading;

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use dino_llm::{
    Engine, EngineOptions, EngineStream, Generator, Model, Request, SamplingParams, Speculation,
};
use loading::Loading;
use serde_json::{Value, json};

/// Measures an engine under load.
#[derive(Debug, Parser)]
struct Arguments {
    /// Requests in all.
    #[arg(short, long, value_name = "N", default_value_t = 16)]
    requests: usize,
    /// Texts that are generated together.
    #[arg(long, value_name = "N", default_value_t = 16)]
    parallel: usize,
    /// Tokens of prompts: from a quarter of this to this.
    #[arg(short, long, value_name = "TOKENS", default_value_t = 128)]
    prompt: usize,
    /// Tokens of answers: from a quarter of this to this.
    #[arg(short = 'n', long, value_name = "TOKENS", default_value_t = 128)]
    generate: usize,
    /// Tokens of the shared beginning; 0 leaves it out.
    #[arg(long, value_name = "TOKENS", default_value_t = 2000)]
    prefix: usize,
    /// Times that all is measured; the best of each counts.
    #[arg(long, value_name = "N", default_value_t = 2)]
    rounds: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
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
    let loading = &arguments.loading;
    let model = loading.builder()?.load(loading.path()?)?;
    let work = Work::new(arguments, model.tokenizer().vocab_size());
    let mut best = [f64::INFINITY; 2];
    let mut latencies = Latencies::default();
    for _ in 0..arguments.rounds.max(1) {
        let (alone, texts) = one_after_another(&model, &work)?;
        let (together, same, found) = all_together(&model, arguments, &work)?;
        if texts != same {
            return Err("a text is another one together than alone".into());
        }
        best = [best[0].min(alone), best[1].min(together)];
        latencies = found;
    }
    let tokens = work.tokens() as f64;
    let shared = shared_beginning(&model, arguments)?;
    let mut report = report(
        arguments,
        [tokens / best[0], tokens / best[1]],
        &mut latencies,
        shared,
    );
    report["lookup_where_it_repeats"] = guessing_ahead(&model, REPEATS)?;
    report["lookup_where_it_does_not"] = guessing_ahead(&model, NEW)?;
    print(&report, arguments.json);
    Ok(())
}

/// Prompts, and how long their answers are.
struct Work(Vec<(Vec<u32>, SamplingParams)>);

impl Work {
    fn new(arguments: &Arguments, vocabulary: usize) -> Self {
        let mut random = Random(7);
        let mut length = |most: usize| {
            let least = most.div_ceil(4);
            least + random.below(most - least + 1)
        };
        let sizes: Vec<_> = (0..arguments.requests)
            .map(|_| (length(arguments.prompt), length(arguments.generate)))
            .collect();
        let work = sizes.into_iter().map(|(prompt, answer)| {
            let params = SamplingParams {
                ignore_eos: true,
                ..SamplingParams::greedy().with_max_tokens(answer)
            };
            (random.tokens(prompt, vocabulary), params)
        });
        Self(work.collect())
    }

    fn tokens(&self) -> usize {
        let tokens = self.0.iter().map(|(_, params)| params.max_tokens);
        tokens.map(Option::unwrap_or_default).sum()
    }
}

type Texts = Vec<Vec<u32>>;

fn one_after_another(model: &Model, work: &Work) -> dino_llm::Result<(f64, Texts)> {
    let mut generator = Generator::new(model);
    let started = Instant::now();
    let texts = work.0.iter().map(|(ids, params)| {
        generator.clear();
        let answer = generator.generate(&ids[..], params)?;
        Ok(answer.tokens.iter().map(|token| token.id).collect())
    });
    let texts = texts.collect::<dino_llm::Result<Texts>>()?;
    Ok((started.elapsed().as_secs_f64(), texts))
}

/// Seconds that tokens took.
#[derive(Default)]
struct Latencies {
    first: Vec<f64>,
    next: Vec<f64>,
}

fn all_together(
    model: &Model,
    arguments: &Arguments,
    work: &Work,
) -> dino_llm::Result<(f64, Texts, Latencies)> {
    let engine = Engine::new(model, options(arguments))?;
    let started = Instant::now();
    let readers = work.0.iter().map(|(ids, params)| {
        let stream = engine.submit(Request::new(&ids[..], params))?;
        Ok(thread::spawn(move || read(stream)))
    });
    let readers = readers.collect::<dino_llm::Result<Vec<_>>>()?;
    let (mut texts, mut latencies) = (Vec::new(), Latencies::default());
    for reader in readers {
        let (text, times) = reader
            .join()
            .unwrap_or_else(|thrown| std::panic::resume_unwind(thrown))?;
        texts.push(text);
        latencies.first.extend(times.first());
        latencies.next.extend(&times[1.min(times.len())..]);
    }
    Ok((started.elapsed().as_secs_f64(), texts, latencies))
}

/// The tokens of a stream, and how long each was waited for.
fn read(stream: EngineStream) -> dino_llm::Result<(Vec<u32>, Vec<f64>)> {
    let (mut ids, mut times, mut last) = (Vec::new(), Vec::new(), Instant::now());
    for token in stream {
        ids.push(token?.id);
        times.push(last.elapsed().as_secs_f64());
        last = Instant::now();
    }
    Ok((ids, times))
}

/// How long the first and the second request with a shared beginning wait for their first token.
fn shared_beginning(
    model: &Model,
    arguments: &Arguments,
) -> dino_llm::Result<Option<[Duration; 2]>> {
    if arguments.prefix == 0 {
        return Ok(None);
    }
    let engine = Engine::new(model, options(arguments))?;
    let mut random = Random(9);
    let vocabulary = model.tokenizer().vocab_size();
    let shared = random.tokens(arguments.prefix, vocabulary);
    let params = SamplingParams::greedy().with_max_tokens(1);
    let mut ask = || -> dino_llm::Result<Duration> {
        let question = random.tokens(16, vocabulary);
        let ids = [&shared[..], &question].concat();
        let stream = engine.submit(Request::new(ids, &params))?;
        Ok(stream.into_completion()?.stats.time_to_first_token)
    };
    Ok(Some([ask()?, ask()?]))
}

/// A passage that the model goes on to repeat.
const REPEATS: &str = "fn add(a: i32, b: i32) -> i32 {\n    a + b\n}\n\nfn sub(a: i32, b: i32) -> i32 {\n    a - b\n}\n\n\
    fn mul(a: i32, b: i32) -> i32 {\n";
/// A beginning of something new.
const NEW: &str =
    "In the spring of 1847 a young clockmaker left the valley where he was born, because";

/// Tokens a second of one text with and without guesses from the prompt, and how many of these were right. The faster
/// of two runs counts.
fn guessing_ahead(model: &Model, prompt: &str) -> Result<Value, Box<dyn Error>> {
    let params = SamplingParams {
        ignore_eos: true,
        repetition_penalty: 1.0,
        ..SamplingParams::greedy().with_max_tokens(96)
    };
    let engine = Engine::new(model, EngineOptions::default())?;
    let mut best = [0.0_f64; 2];
    let mut texts = [String::new(), String::new()];
    let mut guesses = (0, 0);
    for _ in 0..2 {
        for (guesses_ahead, best) in best.iter_mut().enumerate() {
            let mut request = Request::new(prompt, &params);
            if guesses_ahead == 1 {
                request = request.speculation(Speculation::prompt_lookup());
            }
            let answer = engine.submit(request)?.into_completion()?;
            *best = best.max(answer.stats.decode_tokens_per_second);
            guesses = (answer.stats.drafted_tokens, answer.stats.accepted_tokens);
            texts[guesses_ahead] = answer.text;
        }
    }
    if texts[0] != texts[1] {
        return Err("a text is another one with guesses than without".into());
    }
    Ok(json!({
        "tokens_per_second": best[0],
        "with_guesses": best[1],
        "guessed": guesses.0,
        "right": guesses.1,
    }))
}

fn options(arguments: &Arguments) -> EngineOptions {
    EngineOptions {
        max_sequences: arguments.parallel,
        max_queue: arguments.requests,
        ..EngineOptions::default()
    }
}

fn report(
    arguments: &Arguments,
    rates: [f64; 2],
    latencies: &mut Latencies,
    shared: Option<[Duration; 2]>,
) -> Value {
    let shared = shared.map(|times| times.map(|time| time.as_secs_f64()));
    json!({
        "requests": arguments.requests,
        "parallel": arguments.parallel,
        "alone_tokens_per_second": rates[0],
        "together_tokens_per_second": rates[1],
        "ratio": rates[1] / rates[0],
        "first_token_seconds": percentiles(&mut latencies.first),
        "next_token_seconds": percentiles(&mut latencies.next),
        "shared_prefix_tokens": arguments.prefix,
        "shared_prefix_first_token_seconds": shared,
        "shared_prefix_ratio": shared.map(|[first, second]| second / first),
    })
}

fn percentiles(times: &mut [f64]) -> Value {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let last = times.len().saturating_sub(1);
        times.get((last as f64 * share).round() as usize)
    };
    json!({ "p50": at(0.5), "p90": at(0.9), "p99": at(0.99) })
}

fn print(report: &Value, as_json: bool) {
    if as_json {
        println!("{report:#}");
        return;
    }
    for (name, value) in report.as_object().into_iter().flatten() {
        println!("{name:>36}  {value}");
    }
}

/// The same numbers on every run: a linear congruential generator (Knuth, MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as usize % limit.max(1)
    }

    fn tokens(&mut self, count: usize, vocabulary: usize) -> Vec<u32> {
        let tokens = (0..count).map(|_| self.below(vocabulary) as u32);
        tokens.collect()
    }
}
