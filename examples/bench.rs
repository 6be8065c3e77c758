//! How fast a model runs, measured as `llama-bench` does: random tokens, an empty cache or one of a given depth.
//!
//! ```sh
//! cargo run --release --example bench
//! cargo run --release --example bench -- --model model.gguf -p 512 -n 128 -d 2048 -t 4 -r 5 --json
//! cargo run --release --example bench -- -p 0 -n 64 --batch 8
//! ```
//!
//! `pp` is the prompt: tokens a second of one sequence. `tg` is generation, one token a step; with `--batch` that many
//! sequences take each step together, and their tokens are counted together. Figures are medians over `-r` runs, after
//! one that is not counted.

#[path = "shared/loading.rs"]
mod loading;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use dino_llm::dino_models::{Batch, Cache, Scratch, SequenceId, Wanted};
use dino_llm::{Model, ModelError, peak_memory};
use loading::Loading;
use serde_json::{Value, json};

/// Measures prompt processing (pp) and generation (tg) in tokens a second.
#[derive(Debug, Parser)]
struct Arguments {
    /// Tokens of the prompt; 0 leaves the prompt out.
    #[arg(short, long, value_name = "TOKENS", default_value_t = 512)]
    prompt: usize,
    /// Tokens to generate; 0 leaves generation out.
    #[arg(short = 'n', long, value_name = "TOKENS", default_value_t = 128)]
    generate: usize,
    /// Tokens that the model has seen before the clock starts.
    #[arg(short, long, value_name = "TOKENS", default_value_t = 0)]
    depth: usize,
    /// Sequences that generate together.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    batch: usize,
    /// Runs that count.
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
    repetitions: usize,
    /// Also print how long a token of the prompt takes at 1024, 2048, 4096 … tokens.
    #[arg(long)]
    along: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    loading: Loading,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|&count| count > 0)
        .ok_or_else(|| "a number above 0 is needed".into())
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
    let model = arguments.loading.builder()?.load(&path)?;
    let mut bench = Bench::new(&model, arguments)?;
    let prompt = Rates::measure(arguments.prompt, arguments.repetitions, || bench.prompt())?;
    let along = bench.along();
    let generated = arguments.generate * arguments.batch;
    let generation = Rates::measure(generated, arguments.repetitions, || bench.generation())?;
    let name = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy();
    if arguments.json {
        println!(
            "{:#}",
            report(arguments, &model, &name, &prompt, &generation)
        );
    } else {
        print_table(arguments, &model, &name, &prompt, &generation);
        if arguments.along {
            println!("\n| token | ms a token |\n|------:|-----------:|");
            for (at, time) in along {
                println!("| {at:>5} | {time:>10.3} |");
            }
        }
    }
    Ok(())
}

/// The model, and what it is run in.
struct Bench<'a> {
    model: &'a Model,
    arguments: &'a Arguments,
    cache: Cache,
    scratch: Scratch,
    batch: Batch,
    random: Random,
    /// When each piece of the last prompt was done, and how many tokens had been run then.
    pieces: Vec<(usize, Duration)>,
}

impl<'a> Bench<'a> {
    fn new(model: &'a Model, arguments: &'a Arguments) -> Result<Self, ModelError> {
        let (needed, limit) = (
            arguments.depth + arguments.prompt.max(arguments.generate),
            model.context_length(),
        );
        if needed > limit {
            return Err(ModelError::ContextOverflow { needed, limit });
        }
        Ok(Self {
            model,
            arguments,
            cache: model.new_cache(),
            scratch: Scratch::new(),
            batch: Batch::default(),
            random: Random::new(model.tokenizer().vocab_size()),
            pieces: Vec::new(),
        })
    }

    /// The time that a prompt takes.
    fn prompt(&mut self) -> Result<Duration, ModelError> {
        let tokens = self.random.tokens(self.arguments.prompt);
        let sequence = self.sequence()?;
        let started = Instant::now();
        self.run(sequence, &tokens)?;
        let time = started.elapsed();
        self.cache.remove(sequence);
        Ok(time)
    }

    /// The time that generation takes, of all sequences together.
    fn generation(&mut self) -> Result<Duration, ModelError> {
        let sequences = (0..self.arguments.batch).map(|_| self.sequence());
        let sequences = sequences.collect::<Result<Vec<_>, _>>()?;
        let steps = self
            .random
            .tokens(self.arguments.generate * sequences.len());
        let started = Instant::now();
        for tokens in steps.chunks_exact(sequences.len()) {
            self.batch.clear();
            for (&sequence, token) in sequences.iter().zip(tokens.chunks_exact(1)) {
                self.batch.push(sequence, token, Wanted::Last);
            }
            self.forward()?;
        }
        let time = started.elapsed();
        sequences
            .into_iter()
            .for_each(|sequence| self.cache.remove(sequence));
        Ok(time)
    }

    /// A sequence of the depth that was asked for.
    fn sequence(&mut self) -> Result<SequenceId, ModelError> {
        let sequence = self.cache.add();
        let tokens = self.random.tokens(self.arguments.depth);
        self.run(sequence, &tokens)?;
        Ok(sequence)
    }

    /// Runs tokens in the pieces that a generator would run them in; the last of them wants logits.
    fn run(&mut self, sequence: SequenceId, tokens: &[u32]) -> Result<(), ModelError> {
        let mut pieces = tokens.chunks(self.model.prompt_chunk()).peekable();
        let started = Instant::now();
        let mut done = 0;
        self.pieces.clear();
        while let Some(piece) = pieces.next() {
            let is_last = pieces.peek().is_none();
            self.batch.clear();
            self.batch.push(
                sequence,
                piece,
                if is_last {
                    Wanted::Last
                } else {
                    Wanted::Nothing
                },
            );
            self.forward()?;
            done += piece.len();
            self.pieces.push((done, started.elapsed()));
        }
        Ok(())
    }

    /// Milliseconds that a token took at 1024, 2048, 4096 … tokens of the last prompt: the mean of the eighth before.
    fn along(&self) -> Vec<(usize, f64)> {
        let time = |at: usize| {
            let piece = self.pieces.iter().find(|(done, _)| *done >= at);
            piece.map(|(done, time)| (*done as f64, time.as_secs_f64()))
        };
        let places = (10..usize::BITS).map(|power| 1_usize << power);
        let mean = |at: usize| {
            let ((first, before), (last, after)) = (time(at / 8 * 7)?, time(at)?);
            Some((at, 1e3 * (after - before) / (last - first)))
        };
        places.map_while(mean).collect()
    }

    fn forward(&mut self) -> Result<(), ModelError> {
        let (compute, batch) = (self.model.compute(), &self.batch);
        self.model
            .language_model()
            .forward(compute, batch, &mut self.cache, &mut self.scratch)
    }
}

/// Tokens a second of each run, ascending; empty if nothing was measured.
struct Rates(Vec<f64>);

impl Rates {
    fn measure(
        tokens: usize,
        repetitions: usize,
        mut run: impl FnMut() -> Result<Duration, ModelError>,
    ) -> Result<Self, ModelError> {
        if tokens == 0 {
            return Ok(Self(Vec::new()));
        }
        run()?;
        let rates = (0..repetitions).map(|_| Ok(tokens as f64 / run()?.as_secs_f64()));
        let mut rates = rates.collect::<Result<Vec<_>, ModelError>>()?;
        rates.sort_by(f64::total_cmp);
        Ok(Self(rates))
    }

    fn median(&self) -> Option<f64> {
        let middle = self.0.len() / 2;
        let upper = self.0.get(middle)?;
        let is_odd = self.0.len() % 2 == 1;
        Some(if is_odd {
            *upper
        } else {
            (self.0[middle - 1] + upper) / 2.0
        })
    }
}

/// Random tokens, the same on every run: a linear congruential generator (Knuth, MMIX).
struct Random {
    state: u64,
    vocabulary: u64,
}

impl Random {
    fn new(vocabulary: usize) -> Self {
        Self {
            state: 1,
            vocabulary: vocabulary as u64,
        }
    }

    fn tokens(&mut self, count: usize) -> Vec<u32> {
        let next = || {
            self.state = self
                .state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((self.state >> 32) % self.vocabulary) as u32
        };
        std::iter::repeat_with(next).take(count).collect()
    }
}

fn report(
    arguments: &Arguments,
    model: &Model,
    name: &str,
    prompt: &Rates,
    generation: &Rates,
) -> Value {
    json!({
        "model": name,
        "parameters": model.config().parameters,
        "threads": model.threads(),
        "isa": model.isa().name(),
        "prompt_tokens": arguments.prompt,
        "generated_tokens": arguments.generate,
        "depth": arguments.depth,
        "batch": arguments.batch,
        "repetitions": arguments.repetitions,
        "pp_tokens_per_second": prompt.median(),
        "tg_tokens_per_second": generation.median(),
        "pp_runs": prompt.0,
        "tg_runs": generation.0,
        "load_seconds": model.load_time().as_secs_f64(),
        "peak_rss_bytes": peak_memory(),
        "expert_hit_rate": expert_hit_rate(model),
    })
}

/// Of the experts that tokens were routed to, the share that was in memory; `None` where all of them always are.
fn expert_hit_rate(model: &Model) -> Option<f64> {
    let stats = model.expert_stats()?;
    Some(stats.hits as f64 / (stats.hits + stats.misses).max(1) as f64)
}

fn print_table(
    arguments: &Arguments,
    model: &Model,
    name: &str,
    prompt: &Rates,
    generation: &Rates,
) {
    let megabytes =
        peak_memory().map(|bytes| format!(", at most {} MB in memory", bytes / 1_000_000));
    println!(
        "{name}: {:.1} M parameters, {} threads, {}, loaded in {:.2} s{}\n",
        model.config().parameters as f64 / 1e6,
        model.threads(),
        model.isa(),
        model.load_time().as_secs_f64(),
        megabytes.unwrap_or_default(),
    );
    if let Some(rate) = expert_hit_rate(model) {
        println!("experts in memory when wanted: {:.0} %\n", 100.0 * rate);
    }
    let depth = match arguments.depth {
        0 => String::new(),
        depth => format!(" @ d{depth}"),
    };
    let batch = match arguments.batch {
        1 => String::new(),
        batch => format!(" x {batch}"),
    };
    println!("| {:<24} | tokens/s |   lowest |  highest |", "test");
    println!("|{}|---------:|---------:|---------:|", "-".repeat(26));
    let tests = [
        (format!("pp{}{depth}", arguments.prompt), prompt),
        (
            format!("tg{}{batch}{depth}", arguments.generate),
            generation,
        ),
    ];
    for (test, rates) in tests {
        if let (Some(median), [lowest, ..], [.., highest]) = (rates.median(), &*rates.0, &*rates.0)
        {
            println!("| {test:<24} | {median:>8.1} | {lowest:>8.1} | {highest:>8.1} |");
        }
    }
}
