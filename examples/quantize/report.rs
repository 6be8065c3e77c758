//! What the example prints.

use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use dino_llm::DType;
use dino_llm::dino_models::format::ModelFile;
use dino_llm::dino_quant::feedback::Method;
use dino_llm::dino_quant::plan::{Fallback, Plan};
use dino_llm::quantize::{Report, tensor_facts};
use serde_json::json;

/// One line for all tensors that fell back in the same way.
pub(crate) fn report_fallbacks(fallbacks: &[Fallback]) {
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

/// Prints what a plan would come to.
pub(crate) fn describe(file: &ModelFile, plan: &Plan) {
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

/// Prints what became of the tensors.
pub(crate) fn print_report(report: &Report, fallbacks: &[Fallback], seconds: f64) {
    println!(
        "{:40} {:>6}    {:<6} {:>12} {:>9}",
        "tensor", "from", "to", "bytes", "error"
    );
    for tensor in &report.tensors {
        let error = tensor.loss.map_or(String::new(), |loss| {
            format!("{:8.3}%", 100.0 * loss.relative())
        });
        let [from, to] = [tensor.from, tensor.to].map(DType::name);
        let pruned = match (tensor.pruned, tensor.sparse) {
            (_, true) => " sparse",
            (true, false) => " pruned",
            _ => "",
        };
        let method = method(tensor.method).map_or(String::new(), |name| format!(" {name}"));
        let scaled = if tensor.scaled { " awq" } else { "" };
        println!(
            "{:40} {from:>6} -> {to:<6} {:>12} {error:>9}{pruned}{scaled}{method}",
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

/// The same as JSON.
pub(crate) fn as_json(
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
            "pruned": tensor.pruned,
            "method": method(tensor.method),
            "scaled": tensor.scaled,
            "sparse": tensor.sparse,
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

/// How far something is, and how long it still takes.
pub(crate) struct Bar {
    what: &'static str,
    started: Instant,
}

impl Bar {
    pub(crate) fn new(what: &'static str) -> Self {
        Self {
            what,
            started: Instant::now(),
        }
    }

    pub(crate) fn show(&mut self, done: u64, all: u64, at: &str) {
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

/// What a method is called, but for plain rounding.
fn method(method: Method) -> Option<&'static str> {
    match method {
        Method::Feedback => Some("gptq"),
        Method::ActOrder => Some("gptq, act-order"),
        _ => None,
    }
}
