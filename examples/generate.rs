//! Continues a prompt with a model.
//!
//! ```sh
//! cargo run --release --example generate -- "Once upon a time"
//! cargo run --release --example generate -- --chat --temperature 0 "What is a transformer?"
//! cargo run --release --example generate -- --model model.gguf --max-tokens 64 --json "The sea"
//! ```

use std::error::Error;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use dino_llm::dino_quant::BlockRequantizer;
use dino_llm::{
    ByteSize, ChatSession, Completion, DType, Generator, Int8, KvType, Model, Power, Prompt,
    Request, RopeKind, RopeOverride, SamplingParams, TokenStream, default_model,
};

/// Continues a prompt: text to stdout as it comes, statistics to stderr.
#[derive(Debug, Parser)]
struct Arguments {
    /// The text to continue.
    #[arg(value_name = "PROMPT", required_unless_present = "prompt")]
    text: Option<String>,
    /// The text to continue, as an option.
    #[arg(short, long, value_name = "TEXT", conflicts_with = "text")]
    prompt: Option<String>,
    /// The model file or folder; a small default model if missing, which is fetched once.
    #[arg(short, long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Take the prompt as a message of the user, and put the model's chat template around it.
    #[arg(long)]
    chat: bool,
    /// Print one JSON object at the end instead of text as it comes.
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
    /// Use half of the cores, and let threads sleep whenever they have nothing to do: less energy and heat.
    #[arg(long)]
    low_power: bool,
    /// Tokens that prompt and answer may have together; all that the model was trained for if missing.
    #[arg(short, long, value_name = "TOKENS")]
    ctx: Option<usize>,
    /// Compute in f32 alone, without rounding to 8 and 16 bits on the way: slow and precise.
    #[arg(long)]
    precise: bool,
    /// Run linear layers on plain 8-bit integers: `dynamic`, `asymmetric` (dynamic, too) or a file that `quantize --int8` wrote.
    #[arg(long, value_name = "MODE", value_parser = dino_llm::quantize::int8_mode)]
    int8: Option<Int8>,
    /// Type of cached keys: f32, f16, bf16, q8_0 or q4_0; f16 if missing, with --precise f32.
    #[arg(long, value_name = "TYPE")]
    cache_type_k: Option<KvType>,
    /// Type of cached values.
    #[arg(long, value_name = "TYPE")]
    cache_type_v: Option<KvType>,
    /// Hold the weights in this type, such as Q8_0, whatever the file or folder has; they are re-encoded one by one.
    #[arg(long, value_name = "TYPE")]
    quantize: Option<DType>,
    /// Keep the weights in this file as the kernels read them, or take them from it: later loads start at once.
    #[arg(long, value_name = "FILE")]
    packed_cache: Option<PathBuf>,
    /// Run the model with this adapter (LoRA): a folder of PEFT's, or a GGUF file.
    #[arg(long, value_name = "PATH")]
    lora: Option<PathBuf>,
    #[command(flatten)]
    rope: Rope,
    /// The most memory for weights and cache, such as 512MB or 2GB: what does not fit comes and goes as it is run.
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<ByteSize>,
    #[command(flatten)]
    sampling: Sampling,
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

/// How positions are stretched; the names are those of llama.cpp.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Longer contexts")]
struct Rope {
    /// Stretch the context instead of as the file says: none, linear or yarn.
    #[arg(long, value_name = "KIND")]
    rope_scaling: Option<RopeKind>,
    /// How many times as long the context becomes.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1.0,
        requires = "rope_scaling"
    )]
    rope_scale: f32,
    /// The base of the frequencies.
    #[arg(long, value_name = "N", requires = "rope_scaling")]
    rope_freq_base: Option<f32>,
    /// Positions that the model was trained for; those that the file says if missing.
    #[arg(long, value_name = "N", requires = "rope_scaling")]
    yarn_orig_ctx: Option<usize>,
    /// What rotated queries and keys are multiplied by.
    #[arg(long, value_name = "N", requires = "rope_scaling")]
    yarn_attn_factor: Option<f32>,
    /// Turns in the original context from which on a plane is kept as it is.
    #[arg(long, value_name = "N", requires = "rope_scaling")]
    yarn_beta_fast: Option<f32>,
    /// Turns below which a plane is stretched by the whole factor.
    #[arg(long, value_name = "N", requires = "rope_scaling")]
    yarn_beta_slow: Option<f32>,
}

impl Rope {
    fn scaling(&self) -> Option<RopeOverride> {
        let mut rope = match self.rope_scaling? {
            RopeKind::Linear => RopeOverride::linear(self.rope_scale),
            RopeKind::Yarn => RopeOverride::yarn(self.rope_scale),
            _ => RopeOverride::unscaled(),
        };
        rope.original_context = self.yarn_orig_ctx;
        rope.base = self.rope_freq_base;
        rope.attention_factor = self.yarn_attn_factor;
        (rope.beta_fast, rope.beta_slow) = (self.yarn_beta_fast, self.yarn_beta_slow);
        Some(rope)
    }
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
    let model = load(arguments)?;
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

fn load(arguments: &Arguments) -> Result<Model, Box<dyn Error>> {
    let path = model_path(arguments.model.as_ref())?;
    let mut builder = Model::builder().threads(arguments.threads);
    if arguments.low_power {
        builder = builder.power(Power::Low);
    }
    let cache = if arguments.precise {
        KvType::F32
    } else {
        KvType::F16
    };
    builder = builder.precise(arguments.precise).kv_cache_types(
        arguments.cache_type_k.unwrap_or(cache),
        arguments.cache_type_v.unwrap_or(cache),
    );
    if let Some(int8) = &arguments.int8 {
        builder = builder.int8(int8.clone());
    }
    if let Some(dtype) = arguments.quantize {
        builder = builder.requantize(BlockRequantizer::new(dtype)?);
    }
    if let Some(path) = &arguments.packed_cache {
        builder = builder.packed_cache(path);
    }
    if let Some(rope) = arguments.rope.scaling() {
        builder = builder.rope_scaling(rope);
    }
    if let Some(budget) = arguments.memory_budget {
        builder = builder.memory_budget(budget.as_usize());
    }
    if let Some(tokens) = arguments.ctx {
        builder = builder.context_length(tokens);
    }
    if io::stderr().is_terminal() {
        builder = builder.on_progress(|progress| {
            let percent = 100 * progress.done / progress.total.max(1);
            let end = if progress.done == progress.total {
                "\r\x1b[K"
            } else {
                ""
            };
            eprint!("\rloading {percent:3} %{end}");
        });
    }
    Ok(builder.load(path)?)
}

/// The file that was asked for, else the default model, which is fetched if it is not there.
fn model_path(model: Option<&PathBuf>) -> dino_llm::Result<PathBuf> {
    if let Some(path) = model {
        return Ok(path.clone());
    }
    default_model::ensure(|progress| {
        let percent = 100 * progress.done / progress.total.max(1);
        let end = if percent == 100 { "\n" } else { "" };
        eprint!("\rfetching the default model: {percent} %{end}");
    })
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
