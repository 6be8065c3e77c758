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
//!
//! `--gptq` makes good what rounding loses and `--awq` scales channels, each where that helps; both can be given. `--int8` finds
//! how activations are best rounded for int8 layers (`generate --int8 FILE`) and keeps that in the file; other programs pass
//! over it.
//!
//! `--prune` zeroes weights (`wanda:0.5`, `magnitude:2:4`) or takes out whole layers, channels or heads (`layers:2`,
//! `ffn:0.25`, `heads:0.34`), those that matter least; it may be given several times.

#[path = "../shared/model_path.rs"]
mod model_path;
mod report;
mod subject;

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use dino_llm::dino_models::format::ModelFile;
use dino_llm::dino_quant::calibration::Calibration;
use dino_llm::dino_quant::plan::{Fallback, Override, Plan, Preset, Rules};
use dino_llm::dino_quant::prune::{Prune, Pruning};
use dino_llm::quantize::{
    FileQuantizer, Int8Ranges, ScalingSource, Sensitivity, SensitivityOptions, tensor_facts,
};
use dino_llm::{ByteSize, CancelToken, DType, FileBeside};
use model_path::model_path;
use report::Bar;
use subject::Subject;

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
    #[arg(long, value_name = "TYPE")]
    output_tensor_type: Option<DType>,
    /// The type of the embedding table.
    #[arg(long, value_name = "TYPE")]
    token_embedding_type: Option<DType>,
    /// Take the types from a plan.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tensor_type", "output_tensor_type", "token_embedding_type"])]
    plan: Option<PathBuf>,
    /// Find the best types for this many bits a weight.
    #[arg(long, value_name = "BITS", group = "target")]
    target_bpw: Option<f64>,
    /// Find the best types for tensors of this size, e.g. 80MB or 1.5GiB.
    #[arg(long, value_name = "SIZE", group = "target")]
    target_size: Option<ByteSize>,
    /// Find small types for this mean KL divergence from the source, in nats.
    #[arg(long, value_name = "NATS", group = "target")]
    target_kl: Option<f64>,
    /// Zero weights (wanda:0.5, magnitude:2:4, …) or take out layers:N, ffn:FRACTION or heads:FRACTION.
    #[arg(long, value_name = "WHAT:AMOUNT")]
    prune: Vec<Prune>,
    /// Zero weights of the tensors whose names match; of the layers but the first and the last if missing.
    #[arg(long, value_name = "REGEX", requires = "prune")]
    prune_tensors: Option<String>,
    /// Leave zeros out of tensors of Q8_0 and Q4_0 that are smaller without them; other programs refuse such a file.
    #[arg(long)]
    sparse: bool,
    /// Feed rounding errors back, weighed by what the layers read of the text, where that loses less.
    #[arg(long, requires = "calibration")]
    gptq: bool,
    /// Multiply columns that matter and divide what they read, where that loses less at about 4 bits and below (AWQ).
    #[arg(long)]
    awq: bool,
    /// Keep an int8 mode in the file: `token` (the range of each token, which loses least), `mixed[:BOUND]` (fixed ranges where
    /// they lose no more than BOUND times as much), or fixed ranges by an observer: minmax, percentile[:99.9], entropy, mse.
    #[arg(long, value_name = "RANGES", requires = "calibration", num_args = 0..=1, default_missing_value = "token")]
    int8: Option<Int8Ranges>,
    /// Move this much of the inputs' outliers into the weights of int8 layers, 0 to 1.
    #[arg(long, value_name = "ALPHA", requires = "int8", default_value_t = 0.5)]
    smooth: f32,
    /// Leave the inputs of int8 layers as they are.
    #[arg(long, requires = "int8", conflicts_with = "smooth")]
    no_smooth: bool,
    /// Have ranges for int8 layers the same on both sides of 0.
    #[arg(long, requires = "int8")]
    symmetric: bool,
    /// An importance matrix; several, of runs over several texts, are added up.
    #[arg(long, value_name = "FILE")]
    imatrix: Vec<PathBuf>,
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
    let pruning = pruning(arguments)?;
    let subject = Subject::new(arguments, model_path(arguments.model.as_deref())?)?;
    let file = subject.open()?;
    let calibration = subject.calibration()?;
    let (plan, fallbacks) = plan(arguments, &file, calibration.as_ref())?;
    report::report_fallbacks(&fallbacks);
    if let Some(path) = &arguments.save_plan {
        write_whole(path, &plan.to_json())?;
    }
    let Some(out) = arguments.out.as_ref().filter(|_| !arguments.dry_run) else {
        report::describe(&file, &plan);
        return Ok(());
    };
    let cancel = on_interrupt()?;
    let mut hessians = subject.hessians(calibration.as_ref())?;
    let scaling = subject.scaling(ScalingSource {
        file: &file,
        plan: &plan,
        calibration: calibration.as_ref().unwrap_or(&Calibration::default()),
        hessians: hessians.as_mut(),
        feedback: arguments.gptq,
        pruning: pruning.as_ref(),
        cancel: cancel.clone(),
    })?;
    let int8 = subject.int8()?;
    let mut progress = Bar::new("quantizing");
    let mut quantizer = FileQuantizer::new(&file, &plan)
        .file_type(arguments.kind.file_type())
        .sparse(arguments.sparse)
        .cancel(cancel)
        .on_progress(|at| progress.show(at.done, at.total, at.tensor));
    if let Some(calibration) = &calibration {
        quantizer = quantizer.calibration(calibration);
    }
    if let Some(pruning) = &pruning {
        quantizer = quantizer.prune(pruning);
    }
    if let Some(scaling) = &scaling {
        quantizer = quantizer.scaling(scaling);
    }
    if let Some(hessians) = hessians.as_mut().filter(|_| arguments.gptq) {
        quantizer = quantizer.feedback(hessians);
    }
    if let Some(int8) = &int8 {
        quantizer = quantizer.int8(int8);
    }
    let started = Instant::now();
    let report = quantizer.write(out)?;
    let total = report.weights();
    Bar::new("quantizing").show(total, total, "done");
    let seconds = started.elapsed().as_secs_f64();
    if arguments.json {
        let report = report::as_json(&report, &plan, &fallbacks, seconds);
        println!("{report:#}");
    } else {
        report::print_report(&report, &fallbacks, seconds);
    }
    Ok(())
}

/// Which single weights go.
fn pruning(arguments: &Arguments) -> Result<Option<Pruning>, Box<dyn Error>> {
    let mut asked = arguments.prune.iter().filter_map(|prune| match prune {
        Prune::Weights(pruning) => Some(pruning.clone()),
        _ => None,
    });
    let Some(pruning) = asked.next() else {
        return Ok(None);
    };
    if asked.next().is_some() {
        return Err("weights are zeroed once: give one of wanda:… and magnitude:…".into());
    }
    Ok(Some(match &arguments.prune_tensors {
        Some(pattern) => pruning.matching(pattern)?,
        None => pruning,
    }))
}

/// Cancelled when the user presses Ctrl-C, so that nothing is left of the file.
fn on_interrupt() -> Result<CancelToken, Box<dyn Error>> {
    let cancel = CancelToken::new();
    let token = cancel.clone();
    ctrlc::set_handler(move || token.cancel())?;
    Ok(cancel)
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
    } else if let Some(ByteSize(bytes)) = arguments.target_size {
        sensitivity.plan_for_bytes(bytes, &format!("{bytes} bytes"))?
    } else {
        let nats = arguments.target_kl.unwrap_or_default();
        sensitivity.plan_for_divergence(nats, &format!("KL divergence of {nats}"))?
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
        write_whole(path, &measured.to_json())?;
    }
    Ok(measured)
}

/// A file under its final name is always whole.
fn write_whole(path: &Path, text: &str) -> Result<(), Box<dyn Error>> {
    let write = || {
        let mut file = FileBeside::create(path)?;
        file.write_all(text.as_bytes())?;
        file.commit()
    };
    write().map_err(|error| format!("{}: {error}", path.display()).into())
}
