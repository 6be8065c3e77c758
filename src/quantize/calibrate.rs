//! What a model sees while it reads a text.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use dino_models::format::ModelFile;
use dino_quant::calibration::{Calibration, Collector};

use super::QuantizeError;
use crate::{EncodeOptions, Generator, Model, ModelBuilder};

/// Runs a text through a model and keeps statistics of what its linear layers see.
pub struct Calibrator {
    model: Model,
    collector: Arc<Collector>,
    chunk: usize,
    chunks: usize,
    datasets: Vec<String>,
}

impl fmt::Debug for Calibrator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Calibrator")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl Calibrator {
    /// Loads the model of `file` to be watched; texts are cut into pieces of `chunk` tokens.
    ///
    /// # Errors
    /// As those of [`ModelBuilder::load_file`].
    pub fn new(
        builder: ModelBuilder,
        file: ModelFile,
        chunk: usize,
    ) -> Result<Self, QuantizeError> {
        Self::with_collector(builder, file, chunk, Collector::new().with_histograms())
    }

    /// As [`Self::new`], with a collector that counts otherwise.
    ///
    /// # Errors
    /// As those of [`Self::new`].
    pub fn with_collector(
        builder: ModelBuilder,
        file: ModelFile,
        chunk: usize,
        collector: Collector,
    ) -> Result<Self, QuantizeError> {
        let collector = Arc::new(collector);
        let model = builder.observer(collector.clone()).load_file(file)?;
        Ok(Self {
            model,
            collector,
            chunk: chunk.max(1),
            chunks: 0,
            datasets: Vec::new(),
        })
    }

    /// Reads at most `limit` pieces of `text`, which is called `name`, and calls `report` with those done and all.
    ///
    /// # Errors
    /// [`QuantizeError::ShortText`] if it fills no piece; [`QuantizeError::Model`] if the model cannot be run.
    pub fn read(
        &mut self,
        name: &Path,
        text: &str,
        limit: usize,
        report: impl FnMut(usize, usize),
    ) -> Result<(), QuantizeError> {
        self.chunks += read(&self.model, text, (self.chunk, limit), report)?;
        self.datasets.push(name.display().to_string());
        Ok(())
    }

    /// What was seen.
    pub fn finish(self) -> Calibration {
        Calibration {
            datasets: self.datasets,
            chunks: self.chunks,
            chunk_size: self.chunk,
            ..self.collector.calibration()
        }
    }
}

/// Lets a model that is watched read at most `limit` pieces of `size` tokens of a text; returns how many it read.
pub(super) fn read(
    model: &Model,
    text: &str,
    (size, limit): (usize, usize),
    mut report: impl FnMut(usize, usize),
) -> Result<usize, QuantizeError> {
    let chunks = chunks(model, text, size)?;
    let chunks = &chunks[..chunks.len().min(limit)];
    let mut generator = Generator::new(model);
    for (done, chunk) in chunks.iter().enumerate() {
        report(done, chunks.len());
        // Logits of all positions: the head is to be seen at work, too.
        generator.for_each_logits(chunk, 0, |_, _| {})?;
    }
    report(chunks.len(), chunks.len());
    Ok(chunks.len())
}

/// The whole pieces of `size` tokens of a text, each with the token in front that begins a text, where the model wants
/// one.
pub(super) fn chunks(
    model: &Model,
    text: &str,
    size: usize,
) -> Result<Vec<Vec<u32>>, QuantizeError> {
    let options = EncodeOptions {
        add_special: true,
        parse_special: false,
    };
    let tokenizer = model.tokenizer();
    let tokens = tokenizer
        .encode(text, options)
        .map_err(crate::Error::from)?;
    if tokens.len() < size {
        return Err(QuantizeError::ShortText {
            needed: size,
            found: tokens.len(),
        });
    }
    let special = tokenizer.special();
    let first = special.bos.filter(|_| special.add_bos);
    let chunks = tokens.chunks_exact(size).map(|chunk| {
        let mut chunk = chunk.to_vec();
        chunk[0] = first.unwrap_or(chunk[0]);
        chunk
    });
    Ok(chunks.collect())
}
