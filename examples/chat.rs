//! A conversation with a model.
//!
//! ```sh
//! cargo run --release --example chat
//! cargo run --release --example chat -- --model model.gguf --system "You answer in one sentence."
//! echo "What is a transformer?" | cargo run --release --example chat -- --temperature 0
//! ```

#[path = "shared/loading.rs"]
mod loading;

use std::error::Error;
use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use dino_llm::{ChatSession, SamplingParams};
use loading::Loading;

/// Talks with a model, a line at a time; /reset begins anew, /exit or the end of the input ends.
#[derive(Debug, Parser)]
struct Arguments {
    /// Instructions to the model.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    #[command(flatten)]
    sampling: Sampling,
    #[command(flatten)]
    loading: Loading,
}

/// How tokens are chosen.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sampling")]
struct Sampling {
    /// The most tokens of an answer; until the model ends it or the context is full if missing.
    #[arg(short = 'n', long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Evens out the probabilities; 0 always takes the most likely token.
    #[arg(long, value_name = "X", allow_negative_numbers = true, default_value_t = SamplingParams::default().temperature)]
    temperature: f32,
    /// Keep this many most likely tokens; 0 keeps all.
    #[arg(long, value_name = "K", default_value_t = SamplingParams::default().top_k)]
    top_k: usize,
    /// Keep the most likely tokens up to this sum of probabilities.
    #[arg(long, value_name = "P", default_value_t = SamplingParams::default().top_p)]
    top_p: f32,
    /// Keep tokens at least this fraction as likely as the most likely one.
    #[arg(long, value_name = "P", default_value_t = SamplingParams::default().min_p)]
    min_p: f32,
    /// Repeat the answers that this seed gave; a fresh one if missing.
    #[arg(short, long, value_name = "N")]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let loading = &arguments.loading;
    let model = loading.builder()?.load(loading.path()?)?;
    let mut session = ChatSession::new(&model)?;
    if let Some(text) = &arguments.system {
        session = session.system(text);
    }
    let params = params(&arguments.sampling);
    let is_interactive = io::stdin().is_terminal();
    let mut lines = io::stdin().lock().lines();
    loop {
        if is_interactive {
            eprint!("> ");
        }
        let Some(line) = lines.next().transpose()? else {
            return Ok(());
        };
        match line.trim() {
            "" => {}
            "/exit" => return Ok(()),
            "/reset" => session.reset(),
            text => match answer(&mut session, text, &params) {
                // The conversation is as it was before: a shorter message or /reset may help.
                Err(error) if is_interactive && !is_closed_pipe(&*error) => {
                    eprintln!("error: {error}");
                }
                answered => answered?,
            },
        }
    }
}

fn params(sampling: &Sampling) -> SamplingParams {
    SamplingParams {
        max_tokens: sampling.max_tokens,
        temperature: sampling.temperature,
        top_k: sampling.top_k,
        top_p: sampling.top_p,
        min_p: sampling.min_p,
        seed: sampling.seed,
        ..SamplingParams::default()
    }
}

/// Streams the answer to stdout.
fn answer(
    session: &mut ChatSession,
    text: &str,
    params: &SamplingParams,
) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    for token in session.stream(text, params)? {
        write!(out, "{}", token?.text)?;
        out.flush()?;
    }
    Ok(writeln!(out)?)
}

/// Whether the reader of our output has gone, as `head` does: no error of ours.
fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
