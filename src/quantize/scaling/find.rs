//! The factors of a model.

use std::collections::BTreeMap;

use dino_core::Tensor;
use dino_models::arch::Registry;
use dino_models::format::ModelFile;
use dino_quant::calibration::Calibration;
use dino_quant::plan::{Plan, TensorFacts};
use dino_quant::prune::Pruning;
use dino_quant::scaling::{Reader, ScaledGroup, Scales, scaled};

use super::groups::{Group, groups};
use crate::quantize::file::layers;
use crate::quantize::{Hessians, QuantizeError, tensor_facts};
use crate::{CancelToken, ModelError};

/// Bits of a weight up to which scaling is tried: those of Q4_1.
const MOST_BITS: f64 = 5.0;
/// Rows of a matrix that factors are first judged by.
const ROWS: usize = 64;

/// What factors are found by.
#[derive(Debug)]
pub struct ScalingSource<'a> {
    /// The model, as it is.
    pub file: &'a ModelFile,
    /// The type that each tensor will have.
    pub plan: &'a Plan,
    /// What was seen of the inputs.
    pub calibration: &'a Calibration,
    /// How channels go together; without, they are taken to have nothing to do with each other.
    pub hessians: Option<&'a mut Hessians>,
    /// Whether errors will be fed back, too: then factors must help beside that.
    pub feedback: bool,
    /// The weights that will be zeroed; their matrices stay as they are.
    pub pruning: Option<&'a Pruning>,
    /// Looked at between groups.
    pub cancel: CancelToken,
}

/// The factors of a model's channels: what makes a channel is divided by them, what reads it multiplied.
///
/// Lin et al., arXiv:2306.00978; see [`dino_quant::scaling`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scaling {
    rows: BTreeMap<String, Vec<f32>>,
    columns: BTreeMap<String, Vec<f32>>,
    /// What was found, in the order of the model.
    pub found: Vec<FoundScales>,
    /// Groups that could have been scaled.
    pub groups: usize,
}

/// What was found for matrices that read one input.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundScales {
    /// The matrices.
    pub readers: Vec<String>,
    /// The factors, and what they are good for.
    pub scales: Scales,
}

impl Scaling {
    /// Finds, for all matrices that read one input and are stored in about 4 bits or fewer, the factors that lose least of their
    /// results; groups for which none lose less than rounding alone stay as they are. Calls `report` with the groups that
    /// are done and all.
    ///
    /// # Errors
    /// If the architecture is not known, the model cannot be run, or a tensor cannot be stored;
    /// [`QuantizeError::Cancelled`].
    pub fn find(
        mut source: ScalingSource<'_>,
        mut report: impl FnMut(usize, usize),
    ) -> Result<Self, QuantizeError> {
        let groups = source.groups()?;
        let mut scaling = Self {
            groups: groups.len(),
            ..Self::default()
        };
        for (done, group) in groups.iter().enumerate() {
            report(done, groups.len());
            if source.cancel.is_cancelled() {
                return Err(QuantizeError::Cancelled);
            }
            if let Some(scales) = source.search(group)? {
                scaling.add(source.file, group, &scales.factors);
                scaling.found.push(FoundScales {
                    readers: group.readers.clone(),
                    scales,
                });
            }
        }
        report(groups.len(), groups.len());
        Ok(scaling)
    }

    /// Factors of one's own for every group of a file: `factors` is given the names of its matrices and how many channels they
    /// read that can be scaled, and gives a factor for each of these, or `None` to leave them as they are.
    ///
    /// # Errors
    /// If the architecture is not known.
    ///
    /// # Panics
    /// If there are more or fewer factors than channels, or one is no positive number.
    pub fn with_factors(
        file: &ModelFile,
        mut factors: impl FnMut(&[String], usize) -> Option<Vec<f32>>,
    ) -> Result<Self, QuantizeError> {
        let spec = Registry::default().spec(&file.metadata);
        let groups = groups(file, &spec.map_err(crate::Error::from)?);
        let mut scaling = Self {
            groups: groups.len(),
            ..Self::default()
        };
        for group in &groups {
            if let Some(factors) = factors(&group.readers, group.made()) {
                assert_eq!(factors.len(), group.made(), "a factor for each channel");
                let is_fine = |factor: &f32| factor.is_normal() && *factor > 0.0;
                assert!(factors.iter().all(is_fine), "positive factors");
                scaling.add(file, group, &factors);
            }
        }
        Ok(scaling)
    }

    fn add(&mut self, file: &ModelFile, group: &Group, factors: &[f32]) {
        for kind in ["weight", "bias"] {
            let name = format!("{}.{kind}", group.maker);
            let Some(info) = file.weights.info(&name) else {
                continue;
            };
            let ones = || vec![1.0; info.shape.first().copied().unwrap_or(0)];
            let rows = self.rows.entry(name).or_insert_with(ones);
            let made = rows.iter_mut().skip(group.first).zip(factors);
            made.for_each(|(row, factor)| *row /= factor);
        }
        for reader in &group.readers {
            let columns = group.factor_of.iter().map(|&place| factors[place]);
            self.columns.insert(reader.clone(), columns.collect());
        }
    }

    /// The factors of the columns of a matrix, if it has any.
    pub fn columns(&self, tensor: &str) -> Option<&[f32]> {
        self.columns.get(tensor).map(Vec::as_slice)
    }

    /// The tensor with its factors in it, in f32; `None` if it has none.
    ///
    /// # Errors
    /// [`QuantizeError::Model`] if it is too large to be held.
    pub fn apply(&self, tensor: &Tensor) -> Result<Option<Tensor>, QuantizeError> {
        let rows = self.rows.get(tensor.name()).map(Vec::as_slice);
        let columns = self.columns(tensor.name());
        if rows.is_none() && columns.is_none() {
            return Ok(None);
        }
        let scaled = scaled(tensor, rows, columns).map_err(ModelError::from);
        Ok(Some(scaled.map_err(crate::Error::from)?))
    }
}

impl ScalingSource<'_> {
    /// The groups that are worth a try, in the order in which the file has their matrices, as inputs are watched.
    fn groups(&self) -> Result<Vec<Group>, QuantizeError> {
        let spec = Registry::default().spec(&self.file.metadata);
        let mut groups = groups(self.file, &spec.map_err(crate::Error::from)?);
        let facts = tensor_facts(self.file);
        groups.retain(|group| {
            let is_open = self.can_change(group) && !self.is_pruned(group, &facts);
            self.is_coarse(group) && is_open && self.was_seen(group)
        });
        let places: BTreeMap<&str, usize> = self.file.weights.names().zip(0..).collect();
        groups.sort_by_key(|group| {
            let place = |name: &String| places.get(name.as_str()).copied();
            group.readers.iter().filter_map(place).min()
        });
        Ok(groups)
    }

    /// Whether a matrix is stored so coarsely that its errors show.
    fn is_coarse(&self, group: &Group) -> bool {
        let targets = group.readers.iter().filter_map(|name| self.plan.get(name));
        targets
            .filter(|target| target.is_quantized())
            .any(|target| target.bits_per_value() <= MOST_BITS)
    }

    /// Whether no tensor is already stored as it shall be: other factors would round it anew.
    fn can_change(&self, group: &Group) -> bool {
        let maker = format!("{}.weight", group.maker);
        let mut names = group.readers.iter().chain([&maker]);
        names.all(|name| {
            let dtype = self.file.weights.info(name).map(|info| info.dtype);
            dtype.is_some_and(|dtype| {
                !dtype.is_quantized() || self.plan.get(name).is_some_and(|to| to != dtype)
            })
        })
    }

    /// Whether weights of a reader are zeroed: which ones is found as they are.
    fn is_pruned(&self, group: &Group, facts: &[TensorFacts]) -> bool {
        let layers = layers(self.file);
        let takes = |tensor: &TensorFacts| self.pruning.is_some_and(|p| p.takes(tensor, layers));
        let mut own = facts.iter().filter(|f| group.readers.contains(&f.name));
        own.any(takes)
    }

    /// Whether the inputs were watched, and nothing else was seen to read a norm.
    fn was_seen(&self, group: &Group) -> bool {
        let inputs = &self.calibration.inputs;
        let Some(first) = inputs.get(&group.readers[0]) else {
            return false;
        };
        let is_same = |name: &&String| {
            let stats = inputs.get(*name);
            stats.is_some_and(|s| s.counts == first.counts && s.sums == first.sums)
        };
        let fits = first.counts.len() == 1 && first.sums.len() == group.factor_of.len();
        let all = inputs.keys().filter(is_same).count();
        let own = group.readers.iter().filter(is_same).count();
        fits && own == group.readers.len() && (!group.is_norm || all == own)
    }

    fn search(&mut self, group: &Group) -> Result<Option<Scales>, QuantizeError> {
        let weights = &self.file.weights;
        let tensors: Result<Vec<Tensor>, _> =
            group.readers.iter().map(|name| weights.get(name)).collect();
        let tensors = tensors?;
        let reader = |tensor| Reader {
            tensor,
            target: self
                .plan
                .get(Tensor::name(tensor))
                .unwrap_or(tensor.dtype()),
        };
        let readers = tensors.iter().map(reader).collect();
        let mean_squares = self.calibration.inputs[&group.readers[0]].mean_squares();
        let hessian = match &mut self.hessians {
            Some(hessians) => hessians.of(&group.readers[0])?,
            None => None,
        };
        let scaled_group = ScaledGroup {
            readers,
            factor_of: group.factor_of.clone(),
            mean_squares,
            hessian,
        };
        let found = scaled_group.search(ROWS);
        Ok(found.filter(|scales| {
            let error = |factors| scaled_group.error_with_feedback(factors);
            !self.feedback || error(Some(&scales.factors)) < error(None)
        }))
    }
}
