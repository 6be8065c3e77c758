//! Continues a prompt with a model.
//!
//! ```sh
//! cargo run --release --example generate -- "Once upon a time"
//! cargo run --release --example generate -- --chat --temperature 0 "What is a transformer?"
//! cargo run --release --example generate -- --model model.gguf --max-tokens 64 --json "The sea"
//! ```

#[path = "shared/loading.rs"]
mod loading;

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use dino_llm::{
    ChatSession, Completion, Generator, Model, Prompt, Request, SamplingParams, TokenStream,
};
use loading::Loading;

/// Continues a prompt: text to stdout as it comes, statistics to stderr.
#[derive(Debug, Parser)]
struct Arguments {
    /// The text to continue.
    #[arg(value_name = "PROMPT", required_unless_present = "prompt")]
    text: Option<String>,
    /// The text to continue, as an option.
    #[arg(short, long, value_name = "TEXT", conflicts_with = "text")]
    prompt: Option<String>,
    /// Take the prompt as a message of the user, and put the model's chat template around it.
    #[arg(long)]
    chat: bool,
    /// Print one JSON object at the end instead of text as it comes.
    #[arg(long)]
    json: bool,
    /// Run the model with this adapter (LoRA): a folder of PEFT's, or a GGUF file.
    #[arg(long, value_name = "PATH")]
    lora: Option<PathBuf>,
    #[command(flatten)]
    sampling: Sampling,
    #[command(flatten)]
    loading: Loading,
}

/// How tokens are chosen.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sampling")]
struct Sampling {
    /// The most tokens to generate; until the model ends the text or the context is full if missing.
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
    /// Make recent tokens less likely; 1 is off.
    #[arg(long, value_name = "X", default_value_t = SamplingParams::default().repetition_penalty)]
    repeat_penalty: f32,
    /// Tokens that are recent to --repeat-penalty.
    #[arg(long, value_name = "N", default_value_t = SamplingParams::default().repeat_last_n)]
    repeat_last_n: usize,
    /// Repeat the text that this seed gave; a fresh one if missing.
    #[arg(short, long, value_name = "N")]
    seed: Option<u64>,
    /// End the text where this appears; may be given several times.
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Go on where the model would end the text.
    #[arg(long)]
    ignore_eos: bool,
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
    let mut generator = Generator::new(&model);
    let prompt = prompt(arguments, &model)?;
    let mut request = Request::new(prompt, &params(&arguments.sampling));
    if let Some(path) = &arguments.lora {
        request = request.adapter(&model.adapter(path, 1.0)?);
    }
    let stream = generator.start(request)?;
    let completion = if arguments.json {
        let completion = stream.into_completion()?;
        writeln!(
            io::stdout(),
            "{}",
            serde_json::to_string_pretty(&completion)?
        )?;
        completion
    } else {
        print_as_it_comes(stream)?
    };
    report(&model, &completion);
    Ok(())
}

fn prompt(arguments: &Arguments, model: &Model) -> Result<Prompt, dino_llm::Error> {
    let text = arguments.text.as_ref().or(arguments.prompt.as_ref());
    let text = text.map(String::as_str).unwrap_or_default();
    if !arguments.chat {
        return Ok(text.into());
    }
    let mut session = ChatSession::new(model)?;
    session.history_mut().push(text.into());
    Ok(Prompt::rendered(session.prompt()?))
}

fn params(sampling: &Sampling) -> SamplingParams {
    SamplingParams {
        max_tokens: sampling.max_tokens,
        temperature: sampling.temperature,
        top_k: sampling.top_k,
        top_p: sampling.top_p,
        min_p: sampling.min_p,
        repetition_penalty: sampling.repeat_penalty,
        repeat_last_n: sampling.repeat_last_n,
        seed: sampling.seed,
        stop: sampling.stop.clone(),
        ignore_eos: sampling.ignore_eos,
        ..SamplingParams::default()
    }
}

fn print_as_it_comes(mut stream: TokenStream) -> Result<Completion, Box<dyn Error>> {
    let mut out = io::stdout().lock();
    for token in &mut stream {
        write!(out, "{}", token?.text)?;
        out.flush()?;
    }
    writeln!(out)?;
    Ok(stream.into_completion()?)
}

fn report(model: &Model, completion: &Completion) {
    let (usage, stats) = (&completion.usage, &completion.stats);
    eprintln!(
        "{} + {} tokens: {stats}",
        usage.prompt_tokens, usage.completion_tokens
    );
    eprintln!(
        "loaded in {:.2} s, {} threads, {}; seed {}",
        stats.load_time.as_secs_f64(),
        model.threads(),
        model.isa(),
        completion.seed,
    );
}

/// Whether the reader of our output has gone, as `head` does: no error of ours.
fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
