//! Several files of one model in one table and one picture: what each costs in quality, and what it saves.
//!
//! ```sh
//! cargo run --release --example compare -- --base model-f16.gguf --file text.txt q8_0.gguf q4_k_m.gguf q2_k.gguf
//! cargo run --release --example compare -- --base model-f16.gguf --file text.txt --svg plot.svg *.gguf
//! ```
//!
//! The text is read in chunks of `--ctx` tokens by the base and by each file; the second half of each chunk is scored.
//! Speed is that of generating 64 tokens, measured alone.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use dino_llm::dino_models::Registry;
use dino_llm::evaluate::{Divergence, Summary, compare};
use dino_llm::{EncodeOptions, Generator, Model, SamplingParams};
use serde_json::json;

/// Prints size, bits per weight, perplexity, KL divergence and speed of several files of one model.
#[derive(Debug, Parser)]
struct Arguments {
    /// The model that the others were quantized from.
    #[arg(short, long, value_name = "FILE")]
    base: PathBuf,
    /// The text.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// The files to compare.
    #[arg(required = true, value_name = "FILE")]
    models: Vec<PathBuf>,
    /// Tokens of a chunk.
    #[arg(short, long, value_name = "TOKENS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(8..))]
    ctx: u32,
    /// Stop after this many chunks.
    #[arg(long, value_name = "N")]
    chunks: Option<usize>,
    /// Plot divergence against size.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print one JSON array.
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

/// What is known of one file.
struct Row {
    name: String,
    /// Of the tensors.
    bytes: u64,
    bits_per_weight: f64,
    summary: Summary,
    tokens_per_second: f64,
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(&arguments.file)
        .map_err(|error| format!("{}: {error}", arguments.file.display()))?;
    let base = load(arguments, &arguments.base)?;
    let mut chunks = chunks(&base, &text, arguments.ctx as usize)?;
    chunks.truncate(arguments.chunks.unwrap_or(usize::MAX).max(1));
    let mut rows = Vec::new();
    for path in &arguments.models {
        eprintln!("{} …", path.display());
        rows.push(measure(arguments, &base, path, &chunks)?);
    }
    if let Some(path) = &arguments.svg {
        fs::write(path, plot(&rows)).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if arguments.json {
        println!("{:#}", as_json(&rows));
    } else {
        print!("{}", table(&rows));
    }
    Ok(())
}

fn load(arguments: &Arguments, path: &Path) -> Result<Model, Box<dyn Error>> {
    let builder = Model::builder().threads(arguments.threads);
    Ok(builder.context_length(arguments.ctx as usize).load(path)?)
}

/// The whole chunks of a text, each with the token in front that begins a text, where the model wants one.
fn chunks(model: &Model, text: &str, context: usize) -> Result<Vec<Vec<u32>>, Box<dyn Error>> {
    let options = EncodeOptions {
        add_special: true,
        parse_special: false,
    };
    let tokens = model.tokenizer().encode(text, options)?;
    if tokens.len() < context {
        let found = tokens.len();
        return Err(
            format!("the text has {found} tokens, a chunk {context}: give a longer one").into(),
        );
    }
    let special = model.tokenizer().special();
    let first = special.bos.filter(|_| special.add_bos);
    let chunks = tokens.chunks_exact(context).map(|chunk| {
        let mut chunk = chunk.to_vec();
        chunk[0] = first.unwrap_or(chunk[0]);
        chunk
    });
    Ok(chunks.collect())
}

fn measure(
    arguments: &Arguments,
    base: &Model,
    path: &Path,
    chunks: &[Vec<u32>],
) -> Result<Row, Box<dyn Error>> {
    let file = Registry::default().open(path)?;
    let bytes = file.weights.stored_bytes();
    let weights: usize = file.weights.infos().map(|tensor| tensor.values()).sum();
    drop(file);
    let model = load(arguments, path)?;
    if model.config().vocabulary != base.config().vocabulary {
        return Err(format!("{}: another vocabulary than the base's", path.display()).into());
    }
    let (mut reference, mut other) = (Generator::new(base), Generator::new(&model));
    let mut divergence = Divergence::default();
    for chunk in chunks {
        compare(
            &mut reference,
            &mut other,
            chunk,
            chunk.len() / 2,
            &mut divergence,
        )?;
    }
    Ok(Row {
        name: path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        bytes,
        bits_per_weight: 8.0 * bytes as f64 / weights.max(1) as f64,
        summary: divergence.summary(),
        tokens_per_second: speed(&model)?,
    })
}

/// Tokens a second of a short generation.
fn speed(model: &Model) -> Result<f64, Box<dyn Error>> {
    const TOKENS: usize = 64;
    let mut generator = Generator::new(model);
    let params = SamplingParams {
        min_tokens: TOKENS,
        ..SamplingParams::greedy().with_max_tokens(TOKENS)
    };
    let mut stream = generator.stream("The", &params)?;
    // The first token pays for the prompt.
    stream.next().transpose()?;
    let started = Instant::now();
    let mut count = 0;
    for token in stream {
        token?;
        count += 1;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

fn table(rows: &[Row]) -> String {
    let width = rows
        .iter()
        .map(|row| row.name.chars().count())
        .max()
        .unwrap_or(0)
        .max(4);
    let mut text = format!(
        "| {:width$} | {:>8} | {:>5} | {:>16} | {:>15} | {:>17} | {:>9} | {:>8} | {:>14} | {:>8} |\n",
        "file",
        "MB",
        "bpw",
        "PPL",
        "PPL / base",
        "mean KL",
        "median KL",
        "99.9 %",
        "same top, %",
        "tokens/s"
    );
    text += &format!("|{:-<w$}|", "", w = width + 2);
    text += &"---:|".repeat(9);
    text.push('\n');
    for row in rows {
        let s = &row.summary;
        let _ = writeln!(
            text,
            "| {:width$} | {:8.1} | {:5.2} | {:8.3} ± {:5.3} | {:6.4} ± {:6.4} | {:8.5} ± {:6.5} | {:9.5} | {:8.4} | {:6.2} ± {:5.2} | {:8.1} |",
            row.name,
            row.bytes as f64 / 1e6,
            row.bits_per_weight,
            s.perplexity.value,
            s.perplexity.error,
            s.ratio.value,
            s.ratio.error,
            s.mean_kl.value,
            s.mean_kl.error,
            s.median_kl,
            s.kl_999,
            100.0 * s.same_top.value,
            100.0 * s.same_top.error,
            row.tokens_per_second,
        );
    }
    text
}

fn as_json(rows: &[Row]) -> serde_json::Value {
    let rows = rows.iter().map(|row| {
        let s = &row.summary;
        json!({
            "file": row.name,
            "bytes": row.bytes,
            "bits_per_weight": row.bits_per_weight,
            "base_perplexity": s.base_perplexity.value,
            "perplexity": s.perplexity.value,
            "perplexity_ratio": s.ratio.value,
            "perplexity_ratio_error": s.ratio.error,
            "mean_kl": s.mean_kl.value,
            "mean_kl_error": s.mean_kl.error,
            "median_kl": s.median_kl,
            "kl_99.9": s.kl_999,
            "same_top": s.same_top.value,
            "same_top_error": s.same_top.error,
            "tokens_per_second": row.tokens_per_second,
        })
    });
    rows.collect()
}

/// Mean divergence, on a logarithmic scale, against the size of the tensors.
fn plot(rows: &[Row]) -> String {
    const WIDTH: f64 = 760.0;
    const HEIGHT: f64 = 460.0;
    const MARGIN: f64 = 70.0;
    let megabytes = |row: &Row| row.bytes as f64 / 1e6;
    let nats = |row: &Row| row.summary.mean_kl.value.max(1e-7).log10();
    let range = |of: &dyn Fn(&Row) -> f64| {
        let values = rows.iter().map(of);
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(x), h.max(x)));
        let pad = 0.08 * (high - low).max(1e-3);
        (low - pad, high + pad)
    };
    let ((left, right), (low, high)) = (range(&megabytes), range(&nats));
    let x = |value: f64| MARGIN + (value - left) / (right - left) * (WIDTH - 2.0 * MARGIN);
    let y = |value: f64| HEIGHT - MARGIN - (value - low) / (high - low) * (HEIGHT - 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut line = |x1: f64, y1: f64, x2: f64, y2: f64| {
        let _ = writeln!(
            svg,
            "<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" stroke=\"#bbb\"/>"
        );
    };
    let (bottom, end) = (HEIGHT - MARGIN, WIDTH - MARGIN);
    line(MARGIN, bottom, end, bottom);
    line(MARGIN, MARGIN, MARGIN, bottom);
    let powers = (low.ceil() as i32)..=(high.floor() as i32);
    powers
        .clone()
        .for_each(|power| line(MARGIN, y(f64::from(power)), end, y(f64::from(power))));
    let mut label = |x: f64, y: f64, anchor: &str, text: &str| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    };
    for power in powers {
        label(
            MARGIN - 8.0,
            y(f64::from(power)) + 4.0,
            "end",
            &format!("1e{power}"),
        );
    }
    for step in 0..=5 {
        let value = left + (right - left) * f64::from(step) / 5.0;
        label(x(value), bottom + 20.0, "middle", &format!("{value:.0}"));
    }
    label(
        WIDTH / 2.0,
        HEIGHT - 22.0,
        "middle",
        "size of the tensors, MB",
    );
    label(
        MARGIN,
        MARGIN - 24.0,
        "start",
        "mean KL divergence from the base, nats",
    );
    for row in rows {
        label(
            x(megabytes(row)) + 7.0,
            y(nats(row)) + 4.0,
            "start",
            &row.name,
        );
    }
    for row in rows {
        let (x, y) = (x(megabytes(row)), y(nats(row)));
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"#2266aa\"/>"
        );
    }
    svg + "</svg>\n"
}
