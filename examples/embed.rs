//! Texts to vectors, or how alike texts are.
//!
//! ```sh
//! cargo run --release --example embed -- --model all-MiniLM-L6-v2.gguf "A cat sat on the mat."
//! cargo run --release --example embed -- --model all-MiniLM-L6-v2.gguf --similarity "a cat" "a kitten" "a car"
//! ```

use std::error::Error;
use std::io::{self, BufRead};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use dino_llm::{Embedder, Pooling};

/// Prints a vector a text, as a JSON array a line; or how alike each two texts are.
#[derive(Debug, Parser)]
struct Arguments {
    /// The encoder's file.
    #[arg(short, long, value_name = "FILE")]
    model: PathBuf,
    /// How the vector of a text is made from those of its tokens; what the file says if missing.
    #[arg(long)]
    pooling: Option<PoolingArgument>,
    /// Leave vectors as long as they are, instead of making them as long as 1.
    #[arg(long)]
    no_normalize: bool,
    /// Cut texts that are longer than the model reads, instead of refusing them.
    #[arg(long)]
    truncate: bool,
    /// Print the cosines of all pairs of texts instead.
    #[arg(long)]
    similarity: bool,
    /// Threads; one a core if missing.
    #[arg(short, long, default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// The texts; lines of stdin if missing.
    texts: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PoolingArgument {
    Mean,
    First,
    Last,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let texts = match arguments.texts.is_empty() {
        false => arguments.texts,
        true => io::stdin().lock().lines().collect::<Result<_, _>>()?,
    };
    let mut builder = Embedder::builder()
        .threads(arguments.threads)
        .normalize(!arguments.no_normalize)
        .truncate(arguments.truncate);
    if let Some(pooling) = arguments.pooling {
        builder = builder.pooling(match pooling {
            PoolingArgument::Mean => Pooling::Mean,
            PoolingArgument::First => Pooling::First,
            PoolingArgument::Last => Pooling::Last,
        });
    }
    let vectors = builder.load(arguments.model)?.embed(&texts)?;
    for (index, vector) in vectors.iter().enumerate() {
        if !arguments.similarity {
            println!("{}", serde_json::to_string(vector)?);
            continue;
        }
        for (other, with) in vectors.iter().enumerate().skip(index + 1) {
            println!(
                "{:.4}\t{:?}\t{:?}",
                cosine(vector, with),
                texts[index],
                texts[other]
            );
        }
    }
    Ok(())
}

fn cosine(x: &[f32], y: &[f32]) -> f32 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
    dot(x, y) / (dot(x, x) * dot(y, y)).sqrt()
}
