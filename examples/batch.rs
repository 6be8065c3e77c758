//! Continues every line of a file, many at once, and writes the answers in the order of the lines.
//!
//! ```sh
//! printf 'The sea was\nOnce upon a time\n' | cargo run --release --example batch -- - --max-tokens 40
//! cargo run --release --example batch -- questions.txt --chat --temperature 0 > answers.jsonl
//! ```
//!
//! Each answer is one JSON object a line: `prompt`, `text`, `finish_reason`, `prompt_tokens`, `completion_tokens`; or
//! `prompt` and `error`. What all took together is written to stderr.

#[path = "shared/loading.rs"]
mod loading;

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use dino_llm::{
    ChatSession, Completion, Engine, EngineOptions, Model, Prompt, Request, SamplingParams,
};
use loading::Loading;
use serde_json::{Value, json};

/// Continues every line of a file, many at once.
#[derive(Debug, Parser)]
struct Arguments {
    /// The file of prompts, one a line; empty lines are skipped. `-` is stdin.
    #[arg(value_name = "FILE")]
    prompts: PathBuf,
    /// Take each line as a message of the user, and put the model's chat template around it.
    #[arg(long)]
    chat: bool,
    /// Texts that are generated together.
    #[arg(long, value_name = "N", default_value_t = EngineOptions::default().max_sequences)]
    parallel: usize,
    /// The most tokens of an answer.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 128)]
    max_tokens: usize,
    /// Evens out the probabilities; 0 always takes the most likely token.
    #[arg(long, value_name = "X", default_value_t = SamplingParams::default().temperature)]
    temperature: f32,
    /// Repeat the texts that this seed gave; a fresh one each if missing.
    #[arg(short, long, value_name = "N")]
    seed: Option<u64>,
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
    let lines = read(arguments)?;
    let loading = &arguments.loading;
    let model = loading.builder()?.load(loading.path()?)?;
    let engine = Engine::new(
        &model,
        EngineOptions {
            max_sequences: arguments.parallel,
            ..EngineOptions::default()
        },
    )?;
    let params = SamplingParams {
        temperature: arguments.temperature,
        seed: arguments.seed,
        max_tokens: Some(arguments.max_tokens),
        ..SamplingParams::default()
    };
    let requests = lines
        .iter()
        .map(|line| Ok(Request::new(prompt(arguments, &model, line)?, &params)))
        .collect::<Result<Vec<_>, dino_llm::Error>>()?;
    let started = Instant::now();
    let answers = engine.generate_batch(requests);
    let seconds = started.elapsed().as_secs_f64();
    let mut out = io::stdout().lock();
    for (line, answer) in lines.iter().zip(&answers) {
        writeln!(out, "{}", report(line, answer))?;
    }
    summarize(&answers, seconds);
    Ok(())
}

fn read(arguments: &Arguments) -> io::Result<Vec<String>> {
    let lines: io::Result<Vec<String>> = if arguments.prompts.as_os_str() == "-" {
        io::stdin().lock().lines().collect()
    } else {
        let text = std::fs::read_to_string(&arguments.prompts)?;
        Ok(text.lines().map(String::from).collect())
    };
    let mut lines = lines?;
    lines.retain(|line| !line.trim().is_empty());
    Ok(lines)
}

fn prompt(arguments: &Arguments, model: &Model, line: &str) -> Result<Prompt, dino_llm::Error> {
    if !arguments.chat {
        return Ok(line.into());
    }
    let mut session = ChatSession::new(model)?;
    session.history_mut().push(line.into());
    Ok(Prompt::rendered(session.prompt()?))
}

fn report(line: &str, answer: &Result<Completion, dino_llm::Error>) -> Value {
    match answer {
        Ok(answer) => json!({
            "prompt": line,
            "text": answer.text,
            "finish_reason": answer.finish_reason,
            "prompt_tokens": answer.usage.prompt_tokens,
            "completion_tokens": answer.usage.completion_tokens,
        }),
        Err(error) => json!({ "prompt": line, "error": error.to_string() }),
    }
}

fn summarize(answers: &[Result<Completion, dino_llm::Error>], seconds: f64) {
    let done: Vec<&Completion> = answers.iter().flatten().collect();
    let sum =
        |count: fn(&Completion) -> usize| done.iter().map(|answer| count(answer)).sum::<usize>();
    let (prompt, cached, generated) = (
        sum(|answer| answer.usage.prompt_tokens),
        sum(|answer| answer.usage.cached_tokens),
        sum(|answer| answer.usage.completion_tokens),
    );
    eprintln!(
        "{} answers, {} failed, {seconds:.2} s; prompts: {prompt} tokens, {cached} of them shared; \
         answers: {generated} tokens, {:.1} tokens/s",
        done.len(),
        answers.len() - done.len(),
        generated as f64 / seconds,
    );
}
