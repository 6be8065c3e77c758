//! Runs dino-llm, llama.cpp and candle alternately on the same files and prints one table with ratios, and one JSON.
//!
//! Each engine lives in a process of its own, which loads the model once and then waits for tests on its standard input.
//! The parent asks them in turn, round after round, so that a machine that drifts drifts for all of them.

mod arguments;
mod bandwidth;
mod child;
mod engine;
mod engines;
mod report;
mod rounds;
mod test;

use anyhow::Result;
use arguments::{Arguments, Command};
use clap::Parser;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::Child(child)) => child::run(child),
        None => rounds::run(&arguments),
    }
}
