//! Figures, and the table made of them.

use crate::engines::EngineName;
use crate::test::Test;
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;

/// All that was measured.
#[derive(Serialize)]
pub struct Report {
    pub threads: usize,
    pub processor: String,
    pub models: Vec<ModelReport>,
}

/// What was measured with one file.
#[derive(Serialize)]
pub struct ModelReport {
    pub model: String,
    pub bytes: u64,
    pub engines: Vec<String>,
    /// Bytes a second read from memory, once a round.
    pub bandwidth: Vec<f64>,
    pub figures: Vec<Figure>,
    pub cold: Vec<Cold>,
}

/// One run of a test.
#[derive(Serialize)]
pub struct Figure {
    #[serde(serialize_with = "as_text")]
    pub test: Test,
    #[serde(serialize_with = "as_text")]
    pub engine: EngineName,
    pub seconds: f64,
}

/// One process from its start to its end.
#[derive(Serialize)]
pub struct Cold {
    #[serde(serialize_with = "as_text")]
    pub engine: EngineName,
    /// From the start of the process.
    pub load_seconds: f64,
    /// From the start of the process.
    pub first_token_seconds: f64,
    pub peak_bytes: Option<u64>,
}

fn as_text<T: ToString, S: serde::Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&value.to_string())
}

impl Report {
    pub fn new(threads: usize) -> Self {
        let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = cpus
            .lines()
            .find_map(|line| line.strip_prefix("model name"));
        let name = name
            .and_then(|rest| rest.split_once(':'))
            .map(|(_, name)| name.trim());
        Self {
            threads,
            processor: name.unwrap_or("unknown").to_owned(),
            models: Vec::new(),
        }
    }

    /// The table in Markdown: medians, lowest and highest in brackets, and ratios to the best other engine.
    pub fn table(&self) -> String {
        let mut out = format!("{}, {} threads\n", self.processor, self.threads);
        for model in &self.models {
            model.write_table(&mut out);
        }
        out
    }
}

/// A row: for each engine its runs, higher or lower being better.
struct Row {
    name: String,
    cells: Vec<(EngineName, Vec<f64>)>,
    lower_is_better: bool,
}

impl ModelReport {
    pub fn new(model: &Path, bytes: u64) -> Self {
        let name = model.file_name().unwrap_or(model.as_os_str());
        Self {
            model: name.to_string_lossy().into_owned(),
            bytes,
            engines: Vec::new(),
            bandwidth: Vec::new(),
            figures: Vec::new(),
            cold: Vec::new(),
        }
    }

    pub fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    fn write_table(&self, out: &mut String) {
        let rows = self.rows();
        let mut engines: Vec<EngineName> = Vec::new();
        for (engine, _) in rows.iter().flat_map(|row| &row.cells) {
            if !engines.contains(engine) {
                engines.push(*engine);
            }
        }
        let bandwidth = median(&self.bandwidth).unwrap_or(0.0) / 1e9;
        let megabytes = self.bytes as f64 / 1e6;
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "\n{}, {megabytes:.0} MB; memory reads {bandwidth:.1} GB/s; {}\n",
            self.model,
            self.engines.join("; "),
        );
        let mut head = String::from("| test |");
        let mut line = String::from("|---|");
        for engine in &engines {
            let _ = write!(head, " {engine} |");
            line += "---:|";
        }
        let _ = writeln!(out, "{head} ratio to the best other |\n{line}---:|");
        for row in &rows {
            let _ = write!(out, "| {} |", row.name);
            for engine in &engines {
                let runs = row.cells.iter().find(|(name, _)| name == engine);
                let cell = runs.map_or_else(|| "–".into(), |(_, runs)| spread(runs));
                let _ = write!(out, " {cell} |");
            }
            let ratio = row
                .ratio()
                .map_or_else(|| "–".into(), |ratio| format!("{ratio:.2}"));
            let _ = writeln!(out, " {ratio} |");
        }
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for figure in &self.figures {
            let rate = figure.test.tokens() as f64 / figure.seconds;
            push(
                &mut rows,
                &format!("{}, tokens/s", figure.test),
                false,
                figure.engine,
                rate,
            );
        }
        for cold in &self.cold {
            let name = "process start to loaded, ms";
            push(&mut rows, name, true, cold.engine, cold.load_seconds * 1e3);
        }
        for cold in &self.cold {
            let milliseconds = cold.first_token_seconds * 1e3;
            push(
                &mut rows,
                "process start to first token, ms",
                true,
                cold.engine,
                milliseconds,
            );
        }
        for cold in &self.cold {
            if let Some(bytes) = cold.peak_bytes {
                let name = "peak memory of load + 128 tokens, MB";
                push(&mut rows, name, true, cold.engine, bytes as f64 / 1e6);
            }
        }
        rows
    }
}

fn push(rows: &mut Vec<Row>, name: &str, lower_is_better: bool, engine: EngineName, value: f64) {
    let index = rows
        .iter()
        .position(|row| row.name == name)
        .unwrap_or_else(|| {
            rows.push(Row {
                name: name.to_owned(),
                cells: Vec::new(),
                lower_is_better,
            });
            rows.len() - 1
        });
    let cells = &mut rows[index].cells;
    match cells.iter_mut().find(|(name, _)| *name == engine) {
        Some((_, runs)) => runs.push(value),
        None => cells.push((engine, vec![value])),
    }
}

impl Row {
    /// dino-llm's median over that of the best other engine. Where it runs in several ways, the first one's.
    fn ratio(&self) -> Option<f64> {
        let medians = |ours: bool| {
            let cells = self
                .cells
                .iter()
                .filter(move |(name, _)| name.is_ours() == ours);
            cells.filter_map(|(_, runs)| median(runs))
        };
        let ours = medians(true).next()?;
        let best = if self.lower_is_better {
            medians(false).min_by(f64::total_cmp)
        } else {
            medians(false).max_by(f64::total_cmp)
        };
        Some(ours / best?)
    }
}

fn spread(runs: &[f64]) -> String {
    let low = runs.iter().copied().fold(f64::INFINITY, f64::min);
    let high = runs.iter().copied().fold(0.0, f64::max);
    let digits = usize::from(high < 100.0);
    let middle = median(runs).unwrap_or(0.0);
    format!("{middle:.digits$} ({low:.digits$}–{high:.digits$})")
}

fn median(runs: &[f64]) -> Option<f64> {
    let mut runs = runs.to_vec();
    runs.sort_by(f64::total_cmp);
    let upper = *runs.get(runs.len() / 2)?;
    let lower = runs[(runs.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}
