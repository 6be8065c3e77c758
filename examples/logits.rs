//! Writes the logits of every position as a NumPy file, to compare with any other engine.
//!
//! ```sh
//! cargo run --release --example logits -- --tokens 1,2,3 --out logits.npy
//! cargo run --release --example logits -- --model model.gguf --tokens @ids.json --out logits.npy --precise
//! python3 -c 'import numpy; print(numpy.load("logits.npy").argmax(axis=1))'
//! ```

#[path = "shared/loading.rs"]
mod loading;

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use dino_llm::{FileBeside, Generator, Model};
use loading::Loading;

/// Writes logits `[tokens, vocabulary]` in f32; row i are those of the token after token i.
#[derive(Debug, Parser)]
struct Arguments {
    /// Token ids with commas between them, with or without brackets; @FILE reads them from a file.
    #[arg(long, value_name = "IDS")]
    tokens: String,
    /// The .npy file to write.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Run this many tokens at a time; the model's own choice if missing.
    #[arg(long, value_name = "TOKENS")]
    chunk: Option<usize>,
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
    let tokens = read_tokens(&arguments.tokens)?;
    let mut builder = arguments.loading.builder()?;
    if let Some(chunk) = arguments.chunk {
        builder = builder.prompt_chunk(chunk);
    }
    let model = builder.load(arguments.loading.path()?)?;
    let named = |error| format!("{}: {error}", arguments.out.display());
    let mut file = FileBeside::create(&arguments.out).map_err(named)?;
    write(&model, &tokens, &mut file)?;
    file.commit().map_err(named)?;
    Ok(())
}

fn read_tokens(argument: &str) -> Result<Vec<u32>, Box<dyn Error>> {
    let text = match argument.strip_prefix('@') {
        Some(path) => fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?,
        None => argument.to_owned(),
    };
    let is_between = |c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']');
    let words = text.split(is_between).filter(|word| !word.is_empty());
    let tokens: Vec<u32> = words
        .map(|word| word.parse().map_err(|_| format!("`{word}` is no token id")))
        .collect::<Result<_, _>>()?;
    if tokens.is_empty() {
        return Err("no tokens: give ids as in --tokens 1,2,3".into());
    }
    Ok(tokens)
}

fn write(model: &Model, tokens: &[u32], out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    out.write_all(&header([tokens.len(), model.config().vocabulary]))?;
    let mut written = Ok(());
    Generator::new(model).for_each_logits(tokens, 0, |_, logits| {
        if written.is_ok() {
            written = write_row(out, logits);
        }
    })?;
    Ok(written?)
}

fn write_row(out: &mut impl Write, row: &[f32]) -> io::Result<()> {
    row.iter()
        .try_for_each(|value| out.write_all(&value.to_le_bytes()))
}

/// The header of an f32 matrix in NumPy's format, version 1.0 (numpy.lib.format): padded with spaces so that the data
/// begins at a multiple of 64 bytes.
fn header([rows, columns]: [usize; 2]) -> Vec<u8> {
    const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
    const LENGTH: usize = 2;
    let mut text =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let unpadded = MAGIC.len() + LENGTH + text.len() + 1;
    text.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    text.push('\n');
    let length = (text.len() as u16).to_le_bytes();
    [MAGIC, &length, text.as_bytes()].concat()
}
