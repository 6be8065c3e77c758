//! Which channels of each input go together, found as quantizing goes on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use dino_models::format::ModelFile;
use dino_quant::calibration::Calibration;
use dino_quant::feedback::HessianCollector;
use ndarray::{Array2, ArrayView2};

use super::QuantizeError;
use super::calibrate::chunks;
use crate::{Generator, Model, ModelBuilder};

/// How [`Hessians`] are found.
#[derive(Clone, Copy, Debug)]
pub struct HessianOptions {
    /// Tokens of a piece of text.
    pub chunk: usize,
    /// Pieces at most.
    pub chunks: usize,
    /// Bytes that sums may take at once, but for those of one input, which are always taken.
    pub budget: usize,
}

impl Default for HessianOptions {
    fn default() -> Self {
        Self {
            chunk: 512,
            chunks: 64,
            budget: 512 << 20,
        }
    }
}

/// The sums `Σ x xᵀ` of the inputs of a model's linear layers over a text, for error feedback.
///
/// They are as large as the weights, in f32. So those of some inputs are found at a time, by running the text through the
/// model, and given up when others are asked for: a few runs for a small model, one for each input of a large one.
pub struct Hessians {
    model: Model,
    collector: Arc<HessianCollector>,
    pieces: Vec<Vec<u32>>,
    /// In the order in which their weights are asked for: weights that share an input, and its channels.
    inputs: Vec<(Vec<String>, usize)>,
    budget: usize,
    /// By the first weight of an input.
    ready: BTreeMap<String, Array2<f32>>,
}

impl fmt::Debug for Hessians {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Hessians")
            .field("model", &self.model)
            .field("ready", &self.ready.len())
            .finish_non_exhaustive()
    }
}

impl Hessians {
    /// Loads the model of `file`, of which `calibration` has seen what its layers read, to run `text` through it.
    ///
    /// # Errors
    /// [`QuantizeError::Model`] if it cannot be loaded; [`QuantizeError::ShortText`] if the text fills no piece.
    pub fn new(
        builder: ModelBuilder,
        file: ModelFile,
        text: &str,
        calibration: &Calibration,
        options: HessianOptions,
    ) -> Result<Self, QuantizeError> {
        let places: BTreeMap<String, usize> = file
            .weights
            .infos()
            .enumerate()
            .map(|(place, tensor)| (tensor.name, place))
            .collect();
        let mut inputs: Vec<(Vec<String>, usize)> = Vec::new();
        for group in calibration.shared_inputs() {
            let stats = &calibration.inputs[group[0]];
            if stats.counts.len() == 1 {
                let names = group.into_iter().map(str::to_owned).collect();
                inputs.push((names, stats.sums.len()));
            }
        }
        inputs.sort_by_key(|(names, _)| names.iter().filter_map(|name| places.get(name)).min());
        let collector = Arc::new(HessianCollector::new());
        let model = builder.observer(collector.clone()).load_file(file)?;
        let mut pieces = chunks(&model, text, options.chunk)?;
        pieces.truncate(options.chunks);
        Ok(Self {
            model,
            collector,
            pieces,
            inputs,
            budget: options.budget,
            ready: BTreeMap::new(),
        })
    }

    /// The sums of the input of `weight`, `[in_features, in_features]`; `None` if calibration has not seen it as one matrix.
    ///
    /// # Errors
    /// [`QuantizeError::Model`] if the model cannot be run.
    pub fn of(&mut self, weight: &str) -> Result<Option<ArrayView2<'_, f32>>, QuantizeError> {
        let is_it = |(names, _): &(Vec<String>, usize)| names.iter().any(|name| name == weight);
        let Some(place) = self.inputs.iter().position(is_it) else {
            return Ok(None);
        };
        if !self.ready.contains_key(&self.inputs[place].0[0]) {
            self.run(place)?;
        }
        let sum = self.ready.get(&self.inputs[place].0[0]);
        Ok(sum.map(|sum| sum.view()))
    }

    /// Finds the sums of the input at `place` and of those behind it that the budget has room for.
    fn run(&mut self, place: usize) -> Result<(), QuantizeError> {
        self.ready.clear();
        let mut bytes = 0_usize;
        let fitting = self.inputs[place..].iter().take_while(|(_, channels)| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(4 * channels * channels);
            is_first || bytes <= self.budget
        });
        let wanted: Vec<&str> = fitting.map(|(names, _)| names[0].as_str()).collect();
        self.collector.begin(wanted);
        let mut generator = Generator::new(&self.model);
        for piece in &self.pieces {
            // Logits of all positions: the head is to be seen at work, too.
            generator.for_each_logits(piece, 0, |_, _| {})?;
        }
        self.ready = self.collector.finish();
        Ok(())
    }
}
