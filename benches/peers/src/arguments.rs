//! The command line.

use crate::engines::EngineName;
use crate::test::Test;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Runs dino-llm, llama.cpp and candle in turn on the same files.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Model files (GGUF).
    #[arg(required = true)]
    pub models: Vec<PathBuf>,
    /// Engines to run; llama.cpp runs with and without its flash attention, and its better figure counts.
    #[arg(short, long, value_enum, value_delimiter = ',', default_values_t = EngineName::all())]
    pub engines: Vec<EngineName>,
    /// Tests: `pp512`, `tg128`, `tg64@d4096` (generation at a depth), `tg64x16` (16 sequences together).
    #[arg(short, long, value_delimiter = ',', default_value = "pp512,tg128")]
    pub tests: Vec<Test>,
    /// Rounds; each runs every test once on every engine.
    #[arg(short, long, default_value_t = 3)]
    pub rounds: usize,
    /// Threads of every engine.
    #[arg(short = 'n', long, default_value_t = 2)]
    pub threads: usize,
    /// Also measure processes that load, generate 128 tokens and end: time to load and to the first token, and memory. Here
    /// dino-llm also runs from a packed file, and llama.cpp without a map of the file.
    #[arg(long)]
    pub cold: bool,
    /// With --cold: measure nothing else.
    #[arg(long, requires = "cold")]
    pub cold_only: bool,
    /// Write all figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// One engine, driven by another process.
    #[command(hide = true)]
    Child(ChildArguments),
}

/// What a child process is told.
#[derive(Debug, clap::Args)]
pub struct ChildArguments {
    #[arg(long, value_enum)]
    pub engine: EngineName,
    #[arg(long)]
    pub model: PathBuf,
    #[arg(long)]
    pub threads: usize,
    /// The longest text that a test asks for.
    #[arg(long)]
    pub context: usize,
    /// The most sequences that a test asks for.
    #[arg(long)]
    pub sequences: usize,
    /// Load, generate so many tokens after a short prompt, report, and end.
    #[arg(long)]
    pub once: Option<usize>,
}
