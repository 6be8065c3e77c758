//! How surprised a model is by a text: perplexity as `llama-perplexity` computes it.
//!
//! ```sh
//! cargo run --release --example perplexity -- --file text.txt
//! cargo run --release --example perplexity -- --model model.gguf --file text.txt --ctx 512 --json
//! cargo run --release --example perplexity -- --model small.gguf --kl-base model-f16.gguf --file text.txt
//! ```
//!
//! The text is cut into chunks of `--ctx` tokens. The first token of a chunk is replaced by the one that begins a text,
//! where the model wants one, and the second half of the chunk is scored, so that every scored token has seen at least
//! half a context. Perplexity is `exp` of the mean negative log-likelihood; its error is the standard error of that
//! mean, propagated. With `--kl-base` a second model, the one that the first was made from, with an f32 cache, reads the same
//! text beside it, and what both make of each token is compared: a model against itself shows what cache types cost.

#[path = "shared/model_path.rs"]
mod model_path;

use std::error::Error;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use dino_llm::evaluate::{Divergence, Estimate, Summary, compare};
use dino_llm::{EncodeOptions, Generator, Int8, KvType, Model};
use model_path::model_path;
use serde_json::json;

/// Prints the perplexity of a text, and its standard error.
#[derive(Debug, Parser)]
struct Arguments {
    /// The text file.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// The model file; a small default model if missing, which is fetched once.
    #[arg(short, long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The model to compare with: the one that this was quantized from.
    #[arg(long, value_name = "FILE")]
    kl_base: Option<PathBuf>,
    /// Compute the model to compare with in f32 alone: the model itself as the base shows what rounding on the way costs.
    #[arg(long, requires = "kl_base")]
    kl_base_precise: bool,
    /// Tokens of a chunk.
    #[arg(short, long, value_name = "TOKENS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(8..))]
    ctx: u32,
    /// Stop after this many chunks.
    #[arg(long, value_name = "N")]
    chunks: Option<usize>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Threads; one a core if missing.
    #[arg(
        short,
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    threads: usize,
    /// Compute in f32 alone, without rounding to 8 and 16 bits on the way: slow and precise.
    #[arg(long)]
    precise: bool,
    /// Run linear layers on plain 8-bit integers: `dynamic`, `asymmetric` (dynamic, too) or a file that `quantize --int8` wrote.
    #[arg(long, value_name = "MODE", value_parser = dino_llm::quantize::int8_mode)]
    int8: Option<Int8>,
    /// Type of cached keys: f32, f16, bf16, q8_0 or q4_0; if missing the one of 16 bits that is fastest here, with --precise f32.
    #[arg(long, value_name = "TYPE")]
    cache_type_k: Option<KvType>,
    /// Type of cached values.
    #[arg(long, value_name = "TYPE")]
    cache_type_v: Option<KvType>,
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
    let context = arguments.ctx as usize;
    let text = fs::read_to_string(&arguments.file)
        .map_err(|error| format!("{}: {error}", arguments.file.display()))?;
    let model = load(
        arguments,
        &model_path(arguments.model.as_deref())?,
        (arguments.int8.as_ref(), arguments.precise),
        [arguments.cache_type_k, arguments.cache_type_v],
    )?;
    let chunks = chunks(&model, &text, context)?;
    let count = arguments
        .chunks
        .unwrap_or(usize::MAX)
        .clamp(1, chunks.len());
    if let Some(base) = &arguments.kl_base {
        // So that one model against itself shows what the types of a cache cost.
        let precise = arguments.precise || arguments.kl_base_precise;
        let base = load(arguments, base, (None, precise), [Some(KvType::F32); 2])?;
        return compare_models(arguments, &base, &model, &chunks[..count]);
    }
    let (mut generator, mut score) = (Generator::new(&model), Score::default());
    let started = Instant::now();
    for (index, chunk) in chunks[..count].iter().enumerate() {
        score_chunk(&mut generator, chunk, &mut score)?;
        let shown = format!("PPL = {:.4}", score.perplexity());
        show_progress(index + 1, count, started, &shown);
    }
    let (perplexity, error) = (score.perplexity(), score.error());
    if arguments.json {
        let seconds = started.elapsed().as_secs_f64();
        let report = json!({
            "perplexity": perplexity,
            "error": error,
            "mean_nll": score.mean(),
            "scored_tokens": score.count,
            "chunks": count,
            "context": context,
            "seconds": seconds,
            "tokens_per_second": (count * context) as f64 / seconds,
            "threads": model.threads(),
            "isa": model.isa().name(),
        });
        println!("{report:#}");
    } else {
        println!("PPL = {perplexity:.4} +/- {error:.5}");
    }
    Ok(())
}

fn load(
    arguments: &Arguments,
    path: &Path,
    (int8, precise): (Option<&Int8>, bool),
    [keys, values]: [Option<KvType>; 2],
) -> Result<Model, Box<dyn Error>> {
    let mut builder = Model::builder()
        .threads(arguments.threads)
        .context_length(arguments.ctx as usize)
        .precise(precise)
        .kv_cache_types(keys, values);
    if let Some(int8) = int8 {
        builder = builder.int8(int8.clone());
    }
    Ok(builder.load(path)?)
}

/// Runs both models side by side over the chunks.
fn compare_models(
    arguments: &Arguments,
    base: &Model,
    model: &Model,
    chunks: &[Vec<u32>],
) -> Result<(), Box<dyn Error>> {
    let (theirs, ours) = (base.config().vocabulary, model.config().vocabulary);
    if theirs != ours {
        let message =
            format!("the base has a vocabulary of {theirs} tokens, the model one of {ours}");
        return Err(message.into());
    }
    let mut generators = [base, model].map(Generator::new);
    let [base, other] = &mut generators;
    let mut divergence = Divergence::default();
    let started = Instant::now();
    for (index, chunk) in chunks.iter().enumerate() {
        compare(base, other, chunk, chunk.len() / 2, &mut divergence)?;
        let shown = format!("KL = {:.5}", divergence.mean_kl());
        show_progress(index + 1, chunks.len(), started, &shown);
    }
    let summary = divergence.summary();
    if arguments.json {
        println!("{:#}", as_json(&summary));
    } else {
        print_summary(&summary);
    }
    Ok(())
}

fn as_json(summary: &Summary) -> serde_json::Value {
    let estimate = |estimate: Estimate| json!({ "value": estimate.value, "error": estimate.error });
    json!({
        "scored_tokens": summary.tokens,
        "base_perplexity": estimate(summary.base_perplexity),
        "perplexity": estimate(summary.perplexity),
        "perplexity_ratio": estimate(summary.ratio),
        "mean_kl": estimate(summary.mean_kl),
        "median_kl": summary.median_kl,
        "kl_99.9": summary.kl_999,
        "greatest_kl": summary.greatest_kl,
        "same_top": estimate(summary.same_top),
        "probability_change": summary.probability_change,
    })
}

fn print_summary(summary: &Summary) {
    let show = |what: &str, Estimate { value, error }: Estimate| {
        println!("{what:24} {value:10.5} +/- {error:.5}");
    };
    show("PPL of the base", summary.base_perplexity);
    show("PPL", summary.perplexity);
    show("PPL / PPL of the base", summary.ratio);
    show("mean KL divergence", summary.mean_kl);
    println!("{:24} {:10.5}", "median KL divergence", summary.median_kl);
    println!("{:24} {:10.5}", "99.9 % KL divergence", summary.kl_999);
    println!(
        "{:24} {:10.5}",
        "greatest KL divergence", summary.greatest_kl
    );
    let percent = |x: Estimate| Estimate {
        value: 100.0 * x.value,
        error: 100.0 * x.error,
    };
    show("same most likely, %", percent(summary.same_top));
    println!(
        "{:24} {:10.5}",
        "RMS change of p, %",
        100.0 * summary.probability_change
    );
}

/// The whole chunks of a text, each with the token in front that begins a text, where the model wants one.
fn chunks(model: &Model, text: &str, context: usize) -> Result<Vec<Vec<u32>>, Box<dyn Error>> {
    let tokenizer = model.tokenizer();
    let options = EncodeOptions {
        add_special: true,
        parse_special: false,
    };
    let tokens = tokenizer.encode(text, options)?;
    if tokens.len() < 2 * context {
        let message = format!(
            "the text has {} tokens; two chunks of {context} are needed for a perplexity: give a longer text or a \
             smaller --ctx",
            tokens.len()
        );
        return Err(message.into());
    }
    let special = tokenizer.special();
    let first = special.bos.filter(|_| special.add_bos);
    let chunks = tokens.chunks_exact(context).map(|chunk| {
        let mut chunk = chunk.to_vec();
        chunk[0] = first.unwrap_or(chunk[0]);
        chunk
    });
    Ok(chunks.collect())
}

/// Scores the second half of a chunk: each token but the half's first, given all before it.
fn score_chunk(
    generator: &mut Generator,
    chunk: &[u32],
    score: &mut Score,
) -> Result<(), dino_llm::Error> {
    let seen = &chunk[..chunk.len() - 1];
    generator.for_each_logits(seen, chunk.len() / 2, |position, logits| {
        score.add(negative_log_likelihood(logits, chunk[position + 1]));
    })
}

fn negative_log_likelihood(logits: &[f32], token: u32) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits
        .iter()
        .map(|logit| f64::from((logit - largest).exp()))
        .sum();
    sum.ln() - f64::from(logits[token as usize] - largest)
}

/// Sums over scored tokens.
#[derive(Debug, Default)]
struct Score {
    count: usize,
    /// Of negative log-likelihoods.
    sum: f64,
    /// Of their squares.
    squares: f64,
}

impl Score {
    fn add(&mut self, nll: f64) {
        self.count += 1;
        self.sum += nll;
        self.squares += nll * nll;
    }

    fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }

    fn perplexity(&self) -> f64 {
        self.mean().exp()
    }

    /// The standard error of the perplexity: that of the mean, times the derivative of `exp`.
    fn error(&self) -> f64 {
        let variance = self.squares / self.count as f64 - self.mean().powi(2);
        (variance.max(0.0) / (self.count as f64 - 1.0)).sqrt() * self.perplexity()
    }
}

fn show_progress(done: usize, count: usize, started: Instant, shown: &str) {
    const WIDTH: usize = 30;
    let mut stderr = io::stderr().lock();
    if !stderr.is_terminal() {
        return;
    }
    let filled = WIDTH * done / count;
    let left = started.elapsed().as_secs_f64() / done as f64 * (count - done) as f64;
    // A terminal that went away is no reason to stop.
    let _ = write!(
        stderr,
        "\r[{}{}] {done}/{count}, {shown}, {left:.0} s left\x1b[K{}",
        "#".repeat(filled),
        "-".repeat(WIDTH - filled),
        if done == count { "\n" } else { "" },
    );
}
