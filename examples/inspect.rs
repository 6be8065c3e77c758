//! What a model file holds: metadata, tensors, types and sizes.
//!
//! ```sh
//! cargo run --release --example inspect -- --model model.gguf
//! cargo run --release --example inspect -- --model model.gguf --json | jq .totals
//! ```

#[path = "shared/model_path.rs"]
mod model_path;

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use dino_core::DType;
use dino_models::Registry;
use dino_models::format::{ModelFile, Weights};
use model_path::model_path;
use serde_json::json;

/// Prints the metadata, the tensors and the sizes of a model file.
#[derive(Debug, Parser)]
struct Arguments {
    /// The model file or folder; a small default model if missing, which is fetched once.
    #[arg(short, long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Leave the tensors out; works for files whose tensor types are unknown, too.
    #[arg(long)]
    metadata: bool,
    /// Print one JSON object, with every element of every array.
    #[arg(long)]
    json: bool,
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
    let path = model_path(arguments.model.as_deref())?;
    let file = if arguments.metadata {
        Registry::default().open_vocabulary(path)?
    } else {
        Registry::default().open(path)?
    };
    let text = if arguments.json {
        json(&file)?
    } else {
        readable(&file)?
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Who pipes into `head` has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Tensors of one type, or all.
#[derive(Default)]
struct Total {
    tensors: usize,
    values: usize,
    bytes: usize,
}

impl Total {
    fn of(weights: &Weights, dtype: Option<DType>) -> Self {
        let wanted = |other| dtype.is_none_or(|dtype| dtype == other);
        let tensors = weights.infos().filter(|tensor| wanted(tensor.dtype));
        tensors.fold(Self::default(), |total, tensor| Self {
            tensors: total.tensors + 1,
            values: total.values + tensor.values(),
            bytes: total.bytes + tensor.bytes(),
        })
    }

    fn bits_per_weight(&self) -> f64 {
        8.0 * self.bytes as f64 / self.values.max(1) as f64
    }
}

/// The totals of the types that occur, then of all.
fn totals(weights: &Weights) -> Vec<(&'static str, Total)> {
    let types = DType::ALL.map(|dtype| (dtype.name(), Total::of(weights, Some(dtype))));
    let occurring = types.into_iter().filter(|(_, total)| total.tensors > 0);
    occurring
        .chain([("all", Total::of(weights, None))])
        .collect()
}

fn json(file: &ModelFile) -> Result<String, Box<dyn Error>> {
    let tensors = file.weights.infos().map(|tensor| {
        json!({
            "name": tensor.name,
            "dtype": tensor.dtype.name(),
            "shape": tensor.shape,
            "bytes": tensor.bytes(),
        })
    });
    let totals = totals(&file.weights).into_iter().map(|(name, total)| {
        let total = json!({
            "tensors": total.tensors,
            "values": total.values,
            "bytes": total.bytes,
            "bits_per_weight": total.bits_per_weight(),
        });
        (name.to_owned(), total)
    });
    let object = json!({
        "file": file.path.display().to_string(),
        "metadata": file.metadata,
        "tensors": tensors.collect::<Vec<_>>(),
        "totals": totals.collect::<serde_json::Map<_, _>>(),
    });
    Ok(serde_json::to_string(&object)? + "\n")
}

fn readable(file: &ModelFile) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    writeln!(text, "{}", file.path.display())?;
    writeln!(text, "\n{} keys", file.metadata.len())?;
    let keys = file.metadata.iter().map(|(key, value)| {
        let kind = value.kind().to_string();
        [key.to_owned(), kind, value.to_string()]
    });
    text += &table(&keys.collect::<Vec<_>>(), [Left, Left, Left]);
    if !file.weights.is_empty() {
        writeln!(text, "\n{} tensors", file.weights.len())?;
        let tensors = file.weights.infos().map(|tensor| {
            let shape: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
            let bytes = size(tensor.bytes());
            let dtype = tensor.dtype.to_string();
            [tensor.name, dtype, shape.join(" × "), bytes]
        });
        text += &table(&tensors.collect::<Vec<_>>(), [Left, Left, Right, Right]);
        writeln!(text, "\ntotals")?;
        let heading = ["type", "tensors", "weights", "size", "bits per weight"].map(str::to_owned);
        let mut rows = vec![heading];
        rows.extend(totals(&file.weights).into_iter().map(|(name, total)| {
            let bits = format!("{:.3}", total.bits_per_weight());
            let counts = [total.tensors, total.values].map(|count| count.to_string());
            let [tensors, values] = counts;
            [name.to_owned(), tensors, values, size(total.bytes), bits]
        }));
        text += &table(&rows, [Left, Right, Right, Right, Right]);
    }
    Ok(text)
}

/// Where the text of a column stands.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}
use Side::{Left, Right};

/// Rows as lines whose columns are as wide as their widest text.
fn table<const N: usize>(rows: &[[String; N]], sides: [Side; N]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for ((cell, &width), side) in row.iter().zip(&widths).zip(sides) {
            line += &match side {
                Left => format!("  {cell:<width$}"),
                Right => format!("  {cell:>width$}"),
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Bytes in the largest unit that leaves a whole number.
fn size(bytes: usize) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB"] {
        if size < 1024.0 {
            let digits = usize::from(unit != "B");
            return format!("{size:.digits$} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.2} GiB")
}
