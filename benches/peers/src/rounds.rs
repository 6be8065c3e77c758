//! Drives the children: the same test on each engine in turn, round after round.

use crate::arguments::Arguments;
use crate::bandwidth;
use crate::child::Line;
use crate::engines::EngineName;
use crate::report::{Cold, Figure, ModelReport, Report};
use crate::test::Test;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// Runs everything, prints the table, writes the JSON.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut report = Report::new(arguments.threads);
    for model in &arguments.models {
        report.models.push(run_model(arguments, model)?);
    }
    print!("{}", report.table());
    if let Some(path) = &arguments.json {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, json).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn run_model(arguments: &Arguments, model: &Path) -> Result<ModelReport> {
    let bytes = std::fs::metadata(model)
        .with_context(|| model.display().to_string())?
        .len();
    let mut report = ModelReport::new(model, bytes);
    if !arguments.cold_only {
        run_tests(arguments, model, &mut report)?;
    }
    if arguments.cold {
        run_cold(arguments, model, &mut report);
    }
    eprint!("\r\x1b[K");
    Ok(report)
}

fn run_tests(arguments: &Arguments, model: &Path, report: &mut ModelReport) -> Result<()> {
    let mut peers = Vec::new();
    for &name in &arguments.engines {
        match Peer::start(arguments, name, model) {
            Ok(peer) => {
                report.engines.push(peer.about.clone());
                peers.push((name, peer));
            }
            Err(error) => eprintln!("{name} does not run {}: {error:#}", model.display()),
        }
    }
    for round in 0..=arguments.rounds {
        // The first round warms up.
        let counts = round > 0;
        if counts {
            report.bandwidth.push(bandwidth::measure(arguments.threads));
        }
        for &test in &arguments.tests {
            for (name, peer) in &mut peers {
                let shown = if counts {
                    format!("round {round}")
                } else {
                    "warm-up".into()
                };
                eprint!("\r{shown}: {test} on {name}\x1b[K");
                let seconds = peer.measure(test)?;
                if counts {
                    report.add(Figure {
                        test,
                        engine: *name,
                        seconds,
                    });
                }
            }
        }
    }
    Ok(())
}

fn run_cold(arguments: &Arguments, model: &Path, report: &mut ModelReport) {
    // The first round brings the file to the page cache and writes what is to be packed.
    for round in 0..=arguments.rounds {
        for name in arguments.engines.iter().flat_map(|engine| engine.ways()) {
            eprint!("\rround {round}: cold start of {name}\x1b[K");
            match cold_start(arguments, name, model) {
                Ok(cold) if round > 0 => report.cold.push(cold),
                Ok(_) => {}
                Err(error) => eprintln!("{name} does not run {}: {error:#}", model.display()),
            }
        }
    }
}

/// The process of an engine, waiting for tests.
struct Peer {
    child: Child,
    tests: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
    about: String,
}

impl Peer {
    fn start(arguments: &Arguments, name: EngineName, model: &Path) -> Result<Self> {
        let (mut child, mut lines) = spawn(arguments, name, model, None)?;
        let Line::Loaded = next(&mut lines)? else {
            bail!("expected a loaded model");
        };
        match next(&mut lines)? {
            Line::Ready { about } => Ok(Self {
                tests: child.stdin.take(),
                child,
                lines,
                about,
            }),
            other => bail!("expected that it is ready, found {other:?}"),
        }
    }

    fn measure(&mut self, test: Test) -> Result<f64> {
        writeln!(self.tests.as_mut().context("it was ended")?, "{test}")?;
        match next(&mut self.lines)? {
            Line::Took { seconds } => Ok(seconds),
            other => bail!("expected a time, found {other:?}"),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.tests.take());
        // It ends by itself when its input does; if it does not, nothing more can be done.
        let _ = self.child.wait();
    }
}

/// A process that loads, generates 128 tokens and ends.
fn cold_start(arguments: &Arguments, engine: EngineName, model: &Path) -> Result<Cold> {
    const TOKENS: usize = 128;
    let started = Instant::now();
    let (mut child, mut lines) = spawn(arguments, engine, model, Some(TOKENS))?;
    let Line::Loaded = next(&mut lines)? else {
        bail!("expected a loaded model");
    };
    let load_seconds = started.elapsed().as_secs_f64();
    let Line::FirstToken = next(&mut lines)? else {
        bail!("expected a first token");
    };
    let first_token_seconds = started.elapsed().as_secs_f64();
    let Line::Done { peak_bytes } = next(&mut lines)? else {
        bail!("expected the end");
    };
    child.wait()?;
    Ok(Cold {
        engine,
        load_seconds,
        first_token_seconds,
        peak_bytes,
    })
}

fn spawn(
    arguments: &Arguments,
    engine: EngineName,
    model: &Path,
    once: Option<usize>,
) -> Result<(Child, BufReader<ChildStdout>)> {
    let most = |of: fn(Test) -> usize| arguments.tests.iter().map(|&test| of(test)).max();
    let (context, sequences) = match once {
        Some(tokens) => (tokens + 8, 1),
        None => (
            most(Test::context).unwrap_or(1) + 8,
            most(Test::sequences).unwrap_or(1),
        ),
    };
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["child", "--engine", &engine.to_string(), "--model"])
        .arg(model)
        .args(["--threads", &arguments.threads.to_string()])
        .args(["--context", &context.to_string()])
        .args(["--sequences", &sequences.to_string()])
        .env("RAYON_NUM_THREADS", arguments.threads.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if let Some(tokens) = once {
        command.args(["--once", &tokens.to_string()]);
    }
    let mut child = command.spawn()?;
    let lines = BufReader::new(child.stdout.take().context("its output")?);
    Ok((child, lines))
}

/// The next line that the child says; what its libraries print besides is passed over.
fn next(lines: &mut impl BufRead) -> Result<Line> {
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            bail!("the process ended");
        }
        if let Ok(line) = serde_json::from_str(&line) {
            return Ok(line);
        }
    }
}
