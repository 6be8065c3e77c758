//! A model made smaller: a GGUF file or a Hugging Face folder in, a GGUF file out.
//!
//! ```sh
//! cargo run --release --example quantize -- --model model-f16.gguf --out model-q4.gguf --type Q4_K_M
//! cargo run --release --example quantize -- -m model-f16.gguf -o small.gguf --calibration text.txt --target-bpw 4.5
//! cargo run --release --example quantize -- -m model-f16.gguf --type Q4_K_M --tensor-type 'attn_v=Q8_0' --dry-run
//! ```
//!
//! `--type` takes the mixtures that llama.cpp names, and every stored type. `--imatrix` (llama.cpp's or our own) or
//! `--calibration` (a text that the model reads first) says which weights matter. `--target-bpw`, `--target-size` and
//! `--target-kl` find the best type of each tensor for a size or a quality instead; that needs a text. The plan can be
//! written with `--save-plan`, edited, and given back with `--plan`; it is also stored in the file that is written.

use std::error::Error;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use dino_llm::dino_models::arch::Registry;
use dino_llm::dino_models::format::ModelFile;
use dino_llm::dino_quant::calibration::Calibration;
use dino_llm::dino_quant::plan::{Fallback, Override, Plan, Preset, Rules};
use dino_llm::quantize::{
    Calibrator, FileQuantizer, Report, Sensitivity, SensitivityOptions, read_imatrix, tensor_facts,
    write_imatrix,
};
use dino_llm::{CancelToken, DType, Model, default_model};
use serde_json::json;

/// Writes a model file whose tensors are stored in smaller types.
#[derive(Debug, Parser)]
struct Arguments {
    /// The model: a GGUF file or a Hugging Face folder; a small default model if missing, which is fetched once.
    #[arg(short, long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// The file to write.
    #[arg(short, long, value_name = "FILE", required_unless_present_any = ["dry_run", "save_imatrix", "save_plan"])]
    out: Option<PathBuf>,
    /// A mixture (Q4_K_M, Q3_K_L, …) or a type (Q8_0, F16, IQ4_XS, …).
    #[arg(short, long = "type", value_name = "TYPE", value_parser = preset, default_value = "Q4_K_M")]
    kind: Preset,
    /// Store all matrices as the same type, head and embeddings too.
    #[arg(long)]
    pure: bool,
    /// Store the tensors whose names match as this type; may be given more than once.
    #[arg(long, value_name = "REGEX=TYPE")]
    tensor_type: Vec<Override>,
    /// The type of the vocabulary head.
    #[arg(long, value_name = "TYPE", value_parser = dtype)]
    output_tensor_type: Option<DType>,
    /// The type of the embedding table.
    #[arg(long, value_name = "TYPE", value_parser = dtype)]
    token_embedding_type: Option<DType>,
    /// Take the types from a plan.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tensor_type", "output_tensor_type", "token_embedding_type"])]
    plan: Option<PathBuf>,
    /// Find the best types for this many bits a weight.
    #[arg(long, value_name = "BITS", group = "target")]
    target_bpw: Option<f64>,
    /// Find the best types for tensors of this size, e.g. 80MB or 1.5GiB.
    #[arg(long, value_name = "SIZE", value_parser = size, group = "target")]
    target_size: Option<u64>,
    /// Find small types for this mean KL divergence from the source, in nats.
    #[arg(long, value_name = "NATS", group = "target")]
    target_kl: Option<f64>,
    /// An importance matrix.
    #[arg(long, value_name = "FILE")]
    imatrix: Option<PathBuf>,
    /// A text that the model reads first, to learn which weights matter; also what a target is measured by.
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    /// Pieces of 512 tokens of that text to read at most.
    #[arg(long, value_name = "N", default_value_t = 64)]
    chunks: usize,
    /// Write what was learnt as an importance matrix.
    #[arg(long, value_name = "FILE", requires = "calibration")]
    save_imatrix: Option<PathBuf>,
    /// Where the measured costs of tensors are kept: read if the file is there, else measured and written.
    #[arg(long, value_name = "FILE", requires = "target")]
    sensitivity: Option<PathBuf>,
    /// Write the plan.
    #[arg(long, value_name = "FILE")]
    save_plan: Option<PathBuf>,
    /// Say what would be written, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
    /// Threads; one a core if missing.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

fn preset(name: &str) -> Result<Preset, String> {
    let known = || Preset::names().collect::<Vec<_>>().join(", ");
    Preset::from_name(name).ok_or_else(|| format!("types are {}", known()))
}

fn dtype(name: &str) -> Result<DType, String> {
    let known = || DType::ALL.map(DType::name).join(", ");
    DType::from_name(name).ok_or_else(|| format!("types are {}", known()))
}

/// Bytes from a number with an optional unit.
fn size(text: &str) -> Result<u64, String> {
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        _ => {
            return Err(format!(
                "`{unit}` is no unit: KB, MB, GB, KiB, MiB and GiB are"
            ));
        }
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("`{text}` is no size such as 80MB"))?;
    Ok((number * unit) as u64)
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
    let path = model_path(arguments.model.as_ref())?;
    let file = Registry::default().open(&path)?;
    let calibration = calibration(arguments, &path)?;
    let (plan, fallbacks) = plan(arguments, &file, calibration.as_ref())?;
    report_fallbacks(&fallbacks);
    if let Some(path) = &arguments.save_plan {
        write_beside(path, plan.to_json().as_bytes())?;
    }
    let Some(out) = arguments.out.as_ref().filter(|_| !arguments.dry_run) else {
        describe(&file, &plan);
        return Ok(());
    };
    let mut progress = Bar::new("quantizing");
    let mut quantizer = FileQuantizer::new(&file, &plan)
        .file_type(arguments.kind.file_type())
        .cancel(on_interrupt()?)
        .on_progress(|at| progress.show(at.done, at.total, at.tensor));
    if let Some(calibration) = &calibration {
        quantizer = quantizer.calibration(calibration);
    }
    let started = Instant::now();
    let report = quantizer.write(out)?;
    let total = report.weights();
    Bar::new("quantizing").show(total, total, "done");
    let seconds = started.elapsed().as_secs_f64();
    if arguments.json {
        println!("{:#}", as_json(&report, &plan, &fallbacks, seconds));
    } else {
        print_report(&report, &fallbacks, seconds);
    }
    Ok(())
}

/// One line for all tensors that fell back in the same way.
fn report_fallbacks(fallbacks: &[Fallback]) {
    let key = |fallback: &Fallback| (fallback.columns, fallback.wanted, fallback.stored);
    let mut keys: Vec<_> = fallbacks.iter().map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    for (columns, wanted, stored) in keys {
        let count = fallbacks
            .iter()
            .filter(|f| key(f) == (columns, wanted, stored))
            .count();
        let block = wanted.block_len();
        eprintln!(
            "{count} tensors have rows of {columns}, no whole blocks of {block}: {stored} instead of {wanted}"
        );
    }
}

/// Cancelled when the user presses Ctrl-C, so that nothing is left of the file.
fn on_interrupt() -> Result<CancelToken, Box<dyn Error>> {
    let cancel = CancelToken::new();
    let token = cancel.clone();
    ctrlc::set_handler(move || token.cancel())?;
    Ok(cancel)
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

/// What matters, from a file or from a text.
fn calibration(arguments: &Arguments, model: &Path) -> Result<Option<Calibration>, Box<dyn Error>> {
    if let Some(path) = &arguments.imatrix {
        return Ok(Some(read_imatrix(path)?));
    }
    let Some(path) = &arguments.calibration else {
        return Ok(None);
    };
    let text = read(path)?;
    let builder = Model::builder().threads(arguments.threads);
    let mut calibrator = Calibrator::new(builder, Registry::default().open(model)?, 512)?;
    let mut progress = Bar::new("calibrating");
    calibrator.read(path, &text, arguments.chunks, |done, all| {
        progress.show(done as u64, all as u64, "");
    })?;
    let calibration = calibrator.finish();
    if let Some(path) = &arguments.save_imatrix {
        write_imatrix(path, &calibration)?;
    }
    Ok(Some(calibration))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Which tensor is stored as what.
fn plan(
    arguments: &Arguments,
    file: &ModelFile,
    calibration: Option<&Calibration>,
) -> Result<(Plan, Vec<Fallback>), Box<dyn Error>> {
    if let Some(path) = &arguments.plan {
        let plan = Plan::from_json(&read(path)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        return Ok((plan, Vec::new()));
    }
    let is_target = arguments.target_bpw.is_some()
        || arguments.target_size.is_some()
        || arguments.target_kl.is_some();
    if is_target {
        return Ok((automatic(arguments, file, calibration)?, Vec::new()));
    }
    let rules = Rules {
        pure: arguments.pure,
        output: arguments.output_tensor_type,
        embedding: arguments.token_embedding_type,
        overrides: arguments.tensor_type.clone(),
        has_importance: calibration.is_some(),
        ..Rules::new(arguments.kind)
    };
    Ok(rules.plan(&tensor_facts(file)))
}

/// The best plan for a target.
fn automatic(
    arguments: &Arguments,
    file: &ModelFile,
    calibration: Option<&Calibration>,
) -> Result<Plan, Box<dyn Error>> {
    let sensitivity = sensitivity(arguments, file, calibration)?;
    let plan = if let Some(bits) = arguments.target_bpw {
        let bytes = bits * sensitivity.weights() as f64 / 8.0;
        sensitivity.plan_for_bytes(bytes as u64, &format!("{bits} bits per weight"))?
    } else if let Some(bytes) = arguments.target_size {
        sensitivity.plan_for_bytes(bytes, &format!("{bytes} bytes"))?
    } else {
        let nats = arguments.target_kl.unwrap_or_default();
        sensitivity.plan_for_divergence(nats, &format!("KL divergence of {nats}"))
    };
    eprintln!(
        "predicted KL divergence: {:.4}",
        sensitivity.divergence(&plan)
    );
    Ok(plan)
}

/// What each tensor costs at each type.
fn sensitivity(
    arguments: &Arguments,
    file: &ModelFile,
    calibration: Option<&Calibration>,
) -> Result<Sensitivity, Box<dyn Error>> {
    const TYPES: [DType; 13] = [
        DType::Q2_K,
        DType::Q3_K,
        DType::IQ4_XS,
        DType::Q4_K,
        DType::Q5_K,
        DType::Q6_K,
        DType::MXFP4,
        DType::IQ4_NL,
        DType::Q4_1,
        DType::Q5_0,
        DType::Q5_1,
        DType::Q8_0,
        DType::F16,
    ];
    if let Some(path) = arguments.sensitivity.as_ref().filter(|path| path.exists()) {
        let measured = Sensitivity::from_json(&read(path)?, file);
        return measured.map_err(|error| format!("{}: {error}", path.display()).into());
    }
    let Some(text) = &arguments.calibration else {
        return Err("a target is measured by a text: give one with --calibration FILE".into());
    };
    let options = SensitivityOptions {
        threads: arguments.threads,
        ..SensitivityOptions::default()
    };
    let mut progress = Bar::new("measuring");
    let report = |done, all| progress.show(done as u64, all as u64, "");
    let measured = Sensitivity::measure(file, &read(text)?, &TYPES, calibration, options, report)?;
    if let Some(path) = &arguments.sensitivity {
        write_beside(path, measured.to_json().as_bytes())?;
    }
    Ok(measured)
}

/// Prints what a plan would come to.
fn describe(file: &ModelFile, plan: &Plan) {
    let (mut before, mut after, mut weights) = (0, 0, 0);
    for tensor in tensor_facts(file) {
        let to = plan.get(&tensor.name).unwrap_or(tensor.dtype);
        println!("{:40} {:>6} -> {to}", tensor.name, tensor.dtype.name());
        before += tensor.bytes(tensor.dtype);
        after += tensor.bytes(to);
        weights += tensor.len();
    }
    let bits = |bytes: u64| 8.0 * bytes as f64 / weights.max(1) as f64;
    println!(
        "tensors: {:.1} MB ({:.2} bits per weight) -> {:.1} MB ({:.2} bits per weight)",
        before as f64 / 1e6,
        bits(before),
        after as f64 / 1e6,
        bits(after),
    );
}

fn print_report(report: &Report, fallbacks: &[Fallback], seconds: f64) {
    println!(
        "{:40} {:>6}    {:<6} {:>12} {:>9}",
        "tensor", "from", "to", "bytes", "error"
    );
    for tensor in &report.tensors {
        let error = tensor.loss.map_or(String::new(), |loss| {
            format!("{:8.3}%", 100.0 * loss.relative())
        });
        let [from, to] = [tensor.from, tensor.to].map(DType::name);
        println!(
            "{:40} {from:>6} -> {to:<6} {:>12} {error:>9}",
            tensor.name, tensor.bytes
        );
    }
    let again = report.requantized().count();
    if again > 0 {
        println!(
            "{again} tensors were quantized already: what that lost is lost; start from F16 or BF16 for the best result"
        );
    }
    println!(
        "{:.1} MB -> {:.1} MB, {:.3} bits per weight, {} tensors fell back, {seconds:.1} s",
        report.bytes_before() as f64 / 1e6,
        report.bytes() as f64 / 1e6,
        report.bits_per_weight(),
        fallbacks.len(),
    );
}

fn as_json(
    report: &Report,
    plan: &Plan,
    fallbacks: &[Fallback],
    seconds: f64,
) -> serde_json::Value {
    let tensors = report.tensors.iter().map(|tensor| {
        json!({
            "name": tensor.name,
            "from": tensor.from.name(),
            "to": tensor.to.name(),
            "bytes": tensor.bytes,
            "relative_error": tensor.loss.map(|loss| loss.relative()),
            "squared_error": tensor.loss.map(|loss| loss.error),
            "weighted_error": tensor.loss.map(|loss| loss.weighted_error),
            "weighted": tensor.weighted,
        })
    });
    let fallbacks = fallbacks.iter().map(|fallback| {
        json!({
            "tensor": fallback.tensor,
            "wanted": fallback.wanted.name(),
            "stored": fallback.stored.name(),
        })
    });
    json!({
        "plan": plan.name(),
        "bytes_before": report.bytes_before(),
        "bytes": report.bytes(),
        "bits_per_weight": report.bits_per_weight(),
        "seconds": seconds,
        "fallbacks": fallbacks.collect::<Vec<_>>(),
        "tensors": tensors.collect::<Vec<_>>(),
    })
}

/// A file under its final name is always whole.
fn write_beside(path: &Path, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let unfinished = PathBuf::from(name);
    let written = fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written.map_err(|error| format!("{}: {error}", path.display()).into())
}

/// How far something is, and how long it still takes.
struct Bar {
    what: &'static str,
    started: Instant,
}

impl Bar {
    fn new(what: &'static str) -> Self {
        Self {
            what,
            started: Instant::now(),
        }
    }

    fn show(&mut self, done: u64, all: u64, at: &str) {
        const WIDTH: u64 = 30;
        let mut stderr = io::stderr().lock();
        if !stderr.is_terminal() {
            return;
        }
        let filled = WIDTH * done / all.max(1);
        let left = self.started.elapsed().as_secs_f64() / done.max(1) as f64 * (all - done) as f64;
        let bar = "#".repeat(filled as usize) + &"-".repeat((WIDTH - filled) as usize);
        let end = if done == all { "\n" } else { "" };
        let left = if done == 0 {
            String::new()
        } else {
            format!(", {left:.0} s left")
        };
        // A terminal that went away is no reason to stop.
        let _ = write!(
            stderr,
            "\r{} [{bar}] {} %{left} {at}\x1b[K{end}",
            self.what,
            100 * done / all.max(1)
        );
    }
}
