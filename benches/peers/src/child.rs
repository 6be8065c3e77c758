//! The process of one engine.

use crate::arguments::ChildArguments;
use crate::engine::{Engine, measure};
use crate::test::Test;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Write};

/// What a child says, one JSON object a line.
#[derive(Debug, Serialize, Deserialize)]
pub enum Line {
    /// The model is loaded.
    Loaded,
    /// Tests may come.
    Ready { about: String },
    /// A test took so long.
    Took { seconds: f64 },
    /// The first token is there.
    FirstToken,
    /// All tokens are there; the process has had so many bytes in memory at most, if the system says so.
    Done { peak_bytes: Option<u64> },
}

/// Loads the model and does what the parent asks.
pub fn run(arguments: &ChildArguments) -> Result<()> {
    let mut engine = arguments.engine.load(arguments)?;
    say(&Line::Loaded)?;
    if let Some(tokens) = arguments.once {
        return once(&mut *engine, tokens);
    }
    say(&Line::Ready {
        about: engine.describe(),
    })?;
    for line in std::io::stdin().lock().lines() {
        let test: Test = line?.parse()?;
        let seconds = measure(&mut *engine, test)?.as_secs_f64();
        say(&Line::Took { seconds })?;
    }
    Ok(())
}

/// Generates greedily after a short prompt.
fn once(engine: &mut dyn Engine, tokens: usize) -> Result<()> {
    engine.prompt(1, &[1, 2, 3, 4])?;
    let mut next = engine.step(&[5])?;
    say(&Line::FirstToken)?;
    for _ in 1..tokens {
        next = engine.step(&[next])?;
    }
    say(&Line::Done {
        peak_bytes: peak_bytes(),
    })
}

fn say(line: &Line) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(line)?)?;
    out.flush().context("the parent is gone")
}

/// The peak of resident memory, as Linux counts it.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}
