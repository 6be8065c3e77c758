//! Which tensors matter: measured, and then multiplied out.
//!
//! What an error in a tensor costs cannot be seen in the tensor. To measure each one alone takes a run for each, hundreds;
//! but tensors of one kind (`attn_q`, `ffn_down`, …) behave alike, and so do those of one layer. So all tensors of a kind
//! are stored coarsely together and the divergence is measured, then all of a layer: some dozens of runs. The share of each
//! tensor is what fits both: start from its error (times the importance of its columns), then scale kinds and layers in
//! turn until their sums are those measured (iterative proportional fitting). Divergences of small errors add up, and each
//! is proportional to its squared error, so the cost of any other type follows from that type's error.

use std::collections::{BTreeMap, HashMap, HashSet};

use dino_core::{DType, Storage, Tensor};
use dino_models::format::{ModelFile, Weights};
use dino_quant::calibration::Calibration;
use dino_quant::plan::{
    Choice, Plan, PlanError, TensorFacts, allocate, allocate_for_cost, is_quantizable,
};
use dino_quant::{QuantError, encode_tensor, estimate_loss, storable};

use serde_json::{Map, Value, json};

use super::calibrate::chunks;
use super::source;
use super::{QuantizeError, tensor_facts};
use crate::evaluate::{Divergence, compare};
use crate::{Generator, Model, ModelBuilder, ModelError};

/// How sensitivities are measured.
#[derive(Clone, Copy, Debug)]
pub struct SensitivityOptions {
    /// The type that tensors are stored as to see what it costs; coarse, so that the cost stands out of the noise.
    pub probe: DType,
    /// Tokens of a piece of text.
    pub chunk: usize,
    /// Pieces for each run.
    pub chunks: usize,
    /// Rows of a tensor that its error is judged by.
    pub rows: usize,
    /// Threads of the model; 0 is one a core.
    pub threads: usize,
}

impl Default for SensitivityOptions {
    fn default() -> Self {
        Self {
            probe: DType::Q3_K,
            chunk: 256,
            chunks: 2,
            rows: 96,
            threads: 0,
        }
    }
}

/// What each tensor of a file costs, in divergence, at each type.
#[derive(Clone, Debug)]
pub struct Sensitivity {
    tensors: Vec<TensorFacts>,
    /// For each of the tensors that are quantized: its place in `tensors`, and its types.
    candidates: Vec<(usize, Vec<(DType, Choice)>)>,
}

impl Sensitivity {
    /// Measures the tensors of a file by a text, for the types `types`; calls `report` with the runs done and
    /// all.
    ///
    /// # Errors
    /// If the model cannot be run, the text is too short, or a tensor cannot be stored.
    pub fn measure(
        file: &ModelFile,
        text: &str,
        types: &[DType],
        calibration: Option<&Calibration>,
        options: SensitivityOptions,
        mut report: impl FnMut(usize, usize),
    ) -> Result<Self, QuantizeError> {
        let mut probes = Probes::new(file, text, calibration, options)?;
        let tensors = tensor_facts(file);
        let places: Vec<usize> = (0..tensors.len())
            .filter(|&i| is_quantizable(&tensors[i]))
            .collect();
        let mut errors = Vec::new();
        for &place in &places {
            errors.push(probes.errors(&tensors[place], types)?);
        }
        let kinds: Vec<Kind> = places
            .iter()
            .map(|&place| Kind::of(&tensors[place].name))
            .collect();
        let groups = groups(&kinds);
        let mut measured = Vec::new();
        for (done, members) in groups.iter().enumerate() {
            report(done, groups.len());
            let names = members
                .iter()
                .map(|&member| tensors[places[member]].name.as_str());
            measured.push(probes.divergence(&names.collect::<Vec<_>>())?);
        }
        report(groups.len(), groups.len());
        let probe_errors: Vec<f64> = errors.iter().map(|errors| errors.probe).collect();
        let shares = proportional_fit(&probe_errors, &groups, &measured);
        let candidates =
            errors
                .into_iter()
                .zip(&shares)
                .zip(places)
                .map(|((errors, share), place)| {
                    let scale = if errors.probe > 0.0 {
                        share / errors.probe
                    } else {
                        0.0
                    };
                    let choices = errors.types.into_iter().map(|(dtype, error)| {
                        let bytes = tensors[place].bytes(dtype);
                        (
                            dtype,
                            Choice {
                                bytes,
                                cost: scale * error,
                            },
                        )
                    });
                    (place, choices.collect())
                });
        let candidates = candidates.collect();
        Ok(Self {
            tensors,
            candidates,
        })
    }

    /// What was measured as text, to be read by [`Self::from_json`]: for each tensor what it costs at each type.
    pub fn to_json(&self) -> String {
        let tensors = self.candidates.iter().map(|(place, types)| {
            let costs = types
                .iter()
                .map(|(dtype, choice)| (dtype.name().to_owned(), json!(choice.cost)));
            let costs: Map<String, Value> = costs.collect();
            (self.tensors[*place].name.clone(), Value::Object(costs))
        });
        format!(
            "{:#}\n",
            json!({ "divergence": tensors.collect::<Map<_, _>>() })
        )
    }

    /// Reads what [`Self::to_json`] wrote of the same file.
    ///
    /// # Errors
    /// [`QuantizeError::NotASensitivity`] if it is something else, or another file's.
    pub fn from_json(text: &str, file: &ModelFile) -> Result<Self, QuantizeError> {
        let wrong = |reason: &str| QuantizeError::NotASensitivity {
            reason: reason.into(),
        };
        let value: Value = serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?;
        let costs = value.get("divergence").and_then(Value::as_object);
        let costs = costs.ok_or_else(|| wrong("it has no object `divergence`"))?;
        let tensors = tensor_facts(file);
        let mut candidates = Vec::new();
        for (place, tensor) in tensors.iter().enumerate() {
            let Some(types) = costs.get(&tensor.name).and_then(Value::as_object) else {
                if is_quantizable(tensor) {
                    return Err(wrong(&format!("it says nothing of `{}`", tensor.name)));
                }
                continue;
            };
            let choice = |(name, cost): (&String, &Value)| {
                let dtype = DType::from_name(name)?;
                let fits = storable(dtype, tensor.columns()) == dtype;
                let cost = cost.as_f64().filter(|cost| cost.is_finite() && fits)?;
                let bytes = tensor.bytes(dtype);
                Some((dtype, Choice { bytes, cost }))
            };
            let choices: Option<Vec<_>> = types.iter().map(choice).collect();
            let choices = choices.filter(|choices| !choices.is_empty());
            let choices = choices
                .ok_or_else(|| wrong(&format!("`{}` has a wrong type or cost", tensor.name)))?;
            candidates.push((place, choices));
        }
        Ok(Self {
            tensors,
            candidates,
        })
    }

    /// The plan whose tensors take at most `bytes` all together and diverge least.
    ///
    /// # Errors
    /// [`QuantizeError::Plan`] if no types make them so small.
    pub fn plan_for_bytes(&self, bytes: u64, name: &str) -> Result<Plan, QuantizeError> {
        let fixed = self.fixed_bytes();
        let taken =
            allocate(&self.choices(), bytes.saturating_sub(fixed)).map_err(
                |error| match error {
                    PlanError::TooSmall { least, .. } => PlanError::TooSmall {
                        budget: bytes,
                        least: least + fixed,
                    },
                    other => other,
                },
            )?;
        Ok(self.plan(&taken, name))
    }

    /// The small plan whose predicted divergence is at most `divergence`, in nats.
    ///
    /// # Errors
    /// [`QuantizeError::Plan`] if no types diverge so little.
    pub fn plan_for_divergence(&self, divergence: f64, name: &str) -> Result<Plan, QuantizeError> {
        let plan = self.plan(&allocate_for_cost(&self.choices(), divergence), name);
        let (asked, least) = (divergence, self.divergence(&plan));
        // Sums of many costs in another order differ in their last digits.
        if least <= asked * (1.0 + 1e-9) {
            Ok(plan)
        } else {
            Err(PlanError::TooPrecise { asked, least }.into())
        }
    }

    /// What `plan` is predicted to diverge by, in nats.
    pub fn divergence(&self, plan: &Plan) -> f64 {
        let cost = |(place, choices): &(usize, Vec<(DType, Choice)>)| {
            let dtype = plan.get(&self.tensors[*place].name)?;
            let chosen = choices.iter().find(|(other, _)| *other == dtype)?;
            Some(chosen.1.cost)
        };
        self.candidates.iter().filter_map(cost).sum()
    }

    /// Weights of the file.
    pub fn weights(&self) -> u64 {
        self.tensors.iter().map(TensorFacts::len).sum()
    }

    /// Bytes of the tensors that no plan changes.
    fn fixed_bytes(&self) -> u64 {
        let changed: HashSet<usize> = self.candidates.iter().map(|(place, _)| *place).collect();
        let tensors = self.tensors.iter().enumerate();
        let fixed = tensors.filter(|(place, _)| !changed.contains(place));
        fixed.map(|(_, tensor)| tensor.bytes(tensor.dtype)).sum()
    }

    fn choices(&self) -> Vec<Vec<Choice>> {
        let choices =
            |choices: &[(DType, Choice)]| choices.iter().map(|(_, choice)| *choice).collect();
        self.candidates
            .iter()
            .map(|(_, of_tensor)| choices(of_tensor))
            .collect()
    }

    fn plan(&self, taken: &[usize], name: &str) -> Plan {
        let mut plan = Plan::new(name);
        for ((place, choices), &index) in self.candidates.iter().zip(taken) {
            plan.set(&self.tensors[*place].name, choices[index].0);
        }
        plan
    }
}

/// Where a tensor stands: `blk.3.attn_q.weight` is of the kind `attn_q.weight` and the layer 3.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kind {
    name: String,
    layer: Option<usize>,
}

impl Kind {
    fn of(tensor: &str) -> Self {
        let parts = tensor
            .strip_prefix("blk.")
            .and_then(|rest| rest.split_once('.'));
        let parts = parts.and_then(|(layer, name)| Some((layer.parse().ok()?, name)));
        match parts {
            Some((layer, name)) => Self {
                name: name.into(),
                layer: Some(layer),
            },
            None => Self {
                name: tensor.into(),
                layer: None,
            },
        }
    }
}

/// The tensors that are measured together: all of a kind, and all of a layer.
fn groups(kinds: &[Kind]) -> Vec<Vec<usize>> {
    let (mut of_kind, mut of_layer) = (BTreeMap::<&str, Vec<usize>>::new(), BTreeMap::new());
    for (index, kind) in kinds.iter().enumerate() {
        of_kind.entry(&kind.name).or_default().push(index);
        if let Some(layer) = kind.layer {
            of_layer.entry(layer).or_insert_with(Vec::new).push(index);
        }
    }
    of_kind
        .into_values()
        .chain(of_layer.into_values())
        .collect()
}

/// Shares in proportion to `errors`, scaled group by group until the sum of each group is near what was measured.
fn proportional_fit(errors: &[f64], groups: &[Vec<usize>], measured: &[f64]) -> Vec<f64> {
    const ROUNDS: usize = 50;
    let mut shares = errors.to_vec();
    for _ in 0..ROUNDS {
        for (members, &wanted) in groups.iter().zip(measured) {
            let sum: f64 = members.iter().map(|&member| shares[member]).sum();
            if sum > 0.0 {
                members
                    .iter()
                    .for_each(|&member| shares[member] *= wanted / sum);
            }
        }
    }
    shares
}

/// The errors of a tensor, weighted by importance.
struct Errors {
    /// Stored as the probe.
    probe: f64,
    /// Stored as each type that it may have.
    types: Vec<(DType, f64)>,
}

/// The model as it is, and how to run it with some tensors stored coarsely.
struct Probes<'a> {
    file: &'a ModelFile,
    calibration: Option<&'a Calibration>,
    options: SensitivityOptions,
    base: Generator,
    chunks: Vec<Vec<u32>>,
}

impl<'a> Probes<'a> {
    fn new(
        file: &'a ModelFile,
        text: &str,
        calibration: Option<&'a Calibration>,
        options: SensitivityOptions,
    ) -> Result<Self, QuantizeError> {
        let model = builder(options).load_file(altered(file, &mut HashMap::new())?)?;
        let mut chunks = chunks(&model, text, options.chunk)?;
        chunks.truncate(options.chunks.max(1));
        Ok(Self {
            file,
            calibration,
            options,
            base: Generator::new(&model),
            chunks,
        })
    }

    fn importance(&self, tensor: &str) -> Option<Vec<f32>> {
        self.calibration
            .and_then(|calibration| calibration.importance(tensor))
    }

    fn cannot_store(&self, tensor: &str, source: QuantError) -> QuantizeError {
        QuantizeError::Tensor {
            file: self.file.path.clone(),
            tensor: tensor.into(),
            source,
        }
    }

    fn errors(&self, facts: &TensorFacts, types: &[DType]) -> Result<Errors, QuantizeError> {
        let tensor = self.file.weights.get(&facts.name)?;
        let importance = self.importance(&facts.name);
        let error = |dtype: DType| {
            if dtype == tensor.dtype() {
                return Ok(0.0);
            }
            let loss = estimate_loss(&tensor, dtype, importance.as_deref(), self.options.rows);
            loss.map(|loss| loss.weighted_error)
                .map_err(|source| self.cannot_store(&facts.name, source))
        };
        let fitting = types.iter().map(|&dtype| storable(dtype, facts.columns()));
        let mut fitting: Vec<DType> = fitting.collect();
        fitting.sort_unstable();
        fitting.dedup();
        let types = fitting.into_iter().map(|dtype| Ok((dtype, error(dtype)?)));
        Ok(Errors {
            probe: error(storable(self.options.probe, facts.columns()))?,
            types: types.collect::<Result<_, QuantizeError>>()?,
        })
    }

    /// The mean divergence with the tensors `names` stored as the probe.
    fn divergence(&mut self, names: &[&str]) -> Result<f64, QuantizeError> {
        let mut coarse = HashMap::new();
        for &name in names {
            let tensor = self.file.weights.get(name)?;
            let target = storable(self.options.probe, tensor.columns());
            let encoded = encode_tensor(&tensor, target, self.importance(name).as_deref())
                .map_err(|source| self.cannot_store(name, source))?;
            let storage = Storage::from_aligned(encoded.bytes);
            let tensor = Tensor::new(name, target, tensor.shape(), storage);
            coarse.insert(
                name,
                tensor
                    .map_err(ModelError::from)
                    .map_err(crate::Error::from)?,
            );
        }
        let file = altered(self.file, &mut coarse)?;
        let model = builder(self.options).load_file(file)?;
        let (mut other, mut divergence) = (Generator::new(&model), Divergence::default());
        for chunk in &self.chunks {
            // The first tokens have seen too little to say anything.
            let first = chunk.len() / 8;
            compare(&mut self.base, &mut other, chunk, first, &mut divergence)?;
        }
        Ok(divergence.mean_kl())
    }
}

/// The file with some of its tensors replaced.
fn altered(
    file: &ModelFile,
    tensors: &mut HashMap<&str, Tensor>,
) -> Result<ModelFile, QuantizeError> {
    let mut weights = Weights::new(&file.path);
    for tensor in file.weights.iter() {
        let replaced = tensors.remove(tensor.name());
        weights.insert(replaced.unwrap_or(tensor))?;
    }
    Ok(ModelFile {
        metadata: source::metadata(file),
        weights,
        path: file.path.clone(),
    })
}

fn builder(options: SensitivityOptions) -> ModelBuilder {
    Model::builder()
        .threads(options.threads)
        .context_length(options.chunk)
        .precise(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_what_was_measured() {
        let kinds: Vec<Kind> = ["blk.0.a", "blk.0.b", "blk.1.a", "blk.1.b", "output.weight"]
            .map(Kind::of)
            .into();
        let groups = groups(&kinds);
        assert_eq!(
            groups,
            [vec![0, 2], vec![1, 3], vec![4], vec![0, 1], vec![2, 3]]
        );
        let measured = [3.0, 7.0, 5.0, 4.0, 6.0];
        let shares = proportional_fit(&[1.0, 1.0, 1.0, 1.0, 9.0], &groups, &measured);
        for (members, wanted) in groups.iter().zip(measured) {
            let sum: f64 = members.iter().map(|&member| shares[member]).sum();
            assert!(
                (sum - wanted).abs() < 1e-6,
                "{members:?}: {sum}, measured {wanted}"
            );
        }
    }
}
