//! From a file to a smaller one.

use std::fmt;
use std::path::Path;

use dino_core::{DType, SparseTensor, Storage, Tensor};
use dino_models::Int8;
use dino_models::format::gguf::{TensorInfo, Writer};
use dino_models::format::{Metadata, ModelFile};
use dino_quant::calibration::Calibration;
use dino_quant::feedback::{Method, can_feed_back, encode_with_feedback};
use dino_quant::plan::{Plan, TensorFacts};
use dino_quant::prune::{Pruning, prune_tensor};
use dino_quant::scaling::{scaled_hessian, scaled_importance};
use dino_quant::{Encoded, QuantError, check_finite, encode_tensor};

use super::{Hessians, QuantizeError, Report, Scaling, TensorReport, source};
use crate::{CancelToken, ModelError};

/// The version of the block formats that files state: ggml's second.
const QUANTIZATION_VERSION: u32 = 2;

/// What a plan needs to know of the tensors of a file.
pub fn tensor_facts(file: &ModelFile) -> Vec<TensorFacts> {
    let facts = |tensor: TensorInfo| TensorFacts {
        name: tensor.name,
        shape: tensor.shape,
        dtype: tensor.dtype,
    };
    file.weights.infos().map(facts).collect()
}

/// The same of one tensor.
fn facts(tensor: &Tensor) -> TensorFacts {
    TensorFacts {
        name: tensor.name().into(),
        shape: tensor.shape().to_vec(),
        dtype: tensor.dtype(),
    }
}

/// How many layers the tensors of a file belong to.
pub(super) fn layers(file: &ModelFile) -> usize {
    let facts = tensor_facts(file);
    let last = facts.iter().filter_map(TensorFacts::layer).max();
    last.map_or(0, |last| last + 1)
}

/// How far a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The tensor that comes next.
    pub tensor: &'a str,
    /// Weights that are done.
    pub done: u64,
    /// Weights that there are.
    pub total: u64,
}

/// Who is told how far a file is.
type Reporter<'a> = Box<dyn FnMut(Progress<'_>) + 'a>;

/// Writes a file whose tensors are stored by a plan.
///
/// One tensor is in memory at a time. The result is written beside its place and takes it when it is complete and on the
/// disk; whatever happens before, nothing is left of it, and the source is only read.
pub struct FileQuantizer<'a> {
    file: &'a ModelFile,
    plan: &'a Plan,
    calibration: Option<&'a Calibration>,
    pruning: Option<&'a Pruning>,
    hessians: Option<&'a mut Hessians>,
    scaling: Option<&'a Scaling>,
    int8: Option<&'a Int8>,
    sparse: bool,
    file_type: Option<u32>,
    cancel: CancelToken,
    on_progress: Option<Reporter<'a>>,
}

impl fmt::Debug for FileQuantizer<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FileQuantizer")
            .field("file", &self.file.path)
            .field("plan", &self.plan.name())
            .finish_non_exhaustive()
    }
}

impl<'a> FileQuantizer<'a> {
    /// Stores the tensors of `file` as `plan` says, and the others as they are; vectors of half precision become f32.
    pub fn new(file: &'a ModelFile, plan: &'a Plan) -> Self {
        Self {
            file,
            plan,
            calibration: None,
            pruning: None,
            hessians: None,
            scaling: None,
            int8: None,
            sparse: false,
            file_type: None,
            cancel: CancelToken::new(),
            on_progress: None,
        }
    }

    /// Makes the errors small where they matter.
    #[must_use]
    pub fn calibration(self, calibration: &'a Calibration) -> Self {
        Self {
            calibration: Some(calibration),
            ..self
        }
    }

    /// Zeroes weights before they are stored.
    #[must_use]
    pub fn prune(self, pruning: &'a Pruning) -> Self {
        Self {
            pruning: Some(pruning),
            ..self
        }
    }

    /// Makes good what rounding loses, where that loses less of the layers' results; see [`dino_quant::feedback`]. Not of the
    /// embeddings, whose rows are looked up, nor of what is pruned, which must stay zero.
    #[must_use]
    pub fn feedback(self, hessians: &'a mut Hessians) -> Self {
        Self {
            hessians: Some(hessians),
            ..self
        }
    }

    /// Multiplies and divides channels by factors that were found for this file and plan; see [`Scaling`].
    #[must_use]
    pub fn scaling(self, scaling: &'a Scaling) -> Self {
        Self {
            scaling: Some(scaling),
            ..self
        }
    }

    /// Keeps an int8 mode in the file.
    #[must_use]
    pub fn int8(self, int8: &'a Int8) -> Self {
        Self {
            int8: Some(int8),
            ..self
        }
    }

    /// Leaves zeros out of the tensors that are smaller without them. Other programs refuse such a file.
    #[must_use]
    pub fn sparse(self, sparse: bool) -> Self {
        Self { sparse, ..self }
    }

    /// The number that the file gives as `general.file_type`, such as a
    /// [`Preset::file_type`](dino_quant::plan::Preset::file_type).
    #[must_use]
    pub fn file_type(self, file_type: u32) -> Self {
        Self {
            file_type: Some(file_type),
            ..self
        }
    }

    /// Gives up when this is cancelled; looked at between tensors.
    #[must_use]
    pub fn cancel(self, cancel: CancelToken) -> Self {
        Self { cancel, ..self }
    }

    /// Calls `report` before each tensor.
    #[must_use]
    pub fn on_progress(self, report: impl FnMut(Progress<'_>) + 'a) -> Self {
        Self {
            on_progress: Some(Box::new(report)),
            ..self
        }
    }

    /// Writes the file `output`.
    ///
    /// # Errors
    /// [`QuantizeError::SameFile`] if that is the source or a part of it; [`QuantizeError::NoTokenizer`] for a folder
    /// without one; [`QuantizeError::UnknownTensor`] if the plan is another model's;
    /// [`QuantizeError::Tensor`] if a value cannot be stored, such as one that is not finite; [`QuantizeError::Format`] if
    /// the file cannot be written; [`QuantizeError::Cancelled`].
    pub fn write(mut self, output: impl AsRef<Path>) -> Result<Report, QuantizeError> {
        let output = output.as_ref();
        self.check(output)?;
        let infos = self.file.weights.infos().map(|tensor| TensorInfo {
            dtype: self.target(&tensor.name, &tensor.shape, tensor.dtype),
            ..tensor
        });
        let metadata = self.metadata();
        let mut writer = Writer::create(output, &metadata, &infos.collect::<Vec<_>>())?;
        let values = self.file.weights.infos().map(|tensor| tensor.values());
        let total = values.map(|values| values as u64).sum();
        let (mut report, mut done) = (Report::default(), 0);
        let layers = layers(self.file);
        for tensor in self.file.weights.iter() {
            if self.cancel.is_cancelled() {
                return Err(QuantizeError::Cancelled);
            }
            if let Some(report) = &mut self.on_progress {
                let tensor = tensor.name();
                report(Progress {
                    tensor,
                    done,
                    total,
                });
            }
            report
                .tensors
                .push(self.write_tensor(&tensor, layers, &mut writer)?);
            tensor.storage().release();
            done += tensor.len() as u64;
        }
        writer.finish()?;
        Ok(report)
    }

    fn check(&self, output: &Path) -> Result<(), QuantizeError> {
        source::check_output(self.file, output)?;
        source::check_tokenizer(self.file)?;
        let mut names = self.plan.iter().map(|(name, _)| name);
        match names.find(|name| !self.file.weights.contains(name)) {
            None => Ok(()),
            Some(tensor) => Err(QuantizeError::UnknownTensor {
                file: self.file.path.clone(),
                tensor: tensor.into(),
            }),
        }
    }

    /// What the plan says. Vectors that it leaves out are f32 in every GGUF file, and other programs count on it; in
    /// folders they are of any float type.
    fn target(&self, name: &str, shape: &[usize], dtype: DType) -> DType {
        let is_half = matches!(dtype, DType::F16 | DType::BF16);
        let other = if shape.len() < 2 && is_half {
            DType::F32
        } else {
            dtype
        };
        self.plan.get(name).unwrap_or(other)
    }

    fn write_tensor(
        &mut self,
        tensor: &Tensor,
        layers: usize,
        writer: &mut Writer,
    ) -> Result<TensorReport, QuantizeError> {
        let fault = |source: QuantError| QuantizeError::Tensor {
            file: self.file.path.clone(),
            tensor: tensor.name().into(),
            source,
        };
        let target = self.target(tensor.name(), tensor.shape(), tensor.dtype());
        let importance = self
            .calibration
            .and_then(|calibration| calibration.importance(tensor.name()));
        let facts = facts(tensor);
        let pruning = self.pruning.filter(|pruning| pruning.takes(&facts, layers));
        let pruned = pruning.map(|pruning| prune_tensor(tensor, pruning, importance.as_deref()));
        let pruned = pruned.transpose().map_err(fault)?;
        let source = pruned.as_ref().unwrap_or(tensor);
        let scaled = self.scaling.map(|scaling| scaling.apply(source));
        let scaled = scaled.transpose()?.flatten();
        let columns = self.scaling.and_then(|s| s.columns(tensor.name()));
        let importance = match (importance, columns) {
            (Some(importance), Some(columns)) => {
                Some(scaled_importance(&importance, columns).map_err(fault)?)
            }
            (importance, _) => importance,
        };
        let mut report = TensorReport {
            name: tensor.name().into(),
            shape: tensor.shape().to_vec(),
            from: tensor.dtype(),
            to: target,
            bytes_before: tensor.storage().len() as u64,
            bytes: 0,
            loss: None,
            weighted: false,
            pruned: pruning.is_some(),
            scaled: columns.is_some(),
            method: Method::Rounded,
            sparse: false,
        };
        let source = scaled.as_ref().unwrap_or(source);
        if target == source.dtype() {
            check_finite(source).map_err(fault)?;
            self.put(source, &mut report, writer)?;
            return Ok(report);
        }
        let job = Job {
            tensor: source,
            target,
            importance: importance.as_deref(),
            columns,
        };
        let hessians = self.hessians.as_deref_mut().filter(|_| pruning.is_none());
        let (encoded, method) = job.encode(hessians, fault)?;
        report.method = method;
        report.loss = Some(encoded.loss);
        report.weighted = importance.is_some();
        let storage = Storage::from_aligned(encoded.bytes);
        let encoded = Tensor::new(tensor.name(), target, tensor.shape(), storage);
        let encoded = encoded.map_err(ModelError::from);
        self.put(&encoded.map_err(crate::Error::from)?, &mut report, writer)?;
        Ok(report)
    }

    /// Writes a tensor as it is, or without its zeros where that is smaller and wanted.
    fn put(
        &self,
        tensor: &Tensor,
        report: &mut TensorReport,
        writer: &mut Writer,
    ) -> Result<(), QuantizeError> {
        let dense = tensor.storage().len();
        let sparse = self.sparse.then(|| SparseTensor::encode(tensor)).flatten();
        let sparse = sparse.filter(|sparse| sparse.storage().len() < dense);
        match &sparse {
            Some(sparse) => writer.sparse_tensor(sparse)?,
            None => writer.tensor(tensor.storage().as_slice())?,
        }
        report.sparse = sparse.is_some();
        report.bytes = sparse.map_or(dense, |sparse| sparse.storage().len()) as u64;
        Ok(())
    }

    /// The source's, with what is said of the quantization; without what was said of its split.
    fn metadata(&self) -> Metadata {
        let mut metadata = source::metadata(self.file);
        metadata.insert("general.quantization_version", QUANTIZATION_VERSION);
        if let Some(file_type) = self.file_type {
            metadata.insert("general.file_type", file_type);
        }
        metadata.insert("dino.quantize.plan", self.plan.to_json());
        if let Some(pruning) = self.pruning {
            metadata.insert("dino.quantize.prune", pruning.to_string());
        }
        if let Some(scaling) = self.scaling {
            metadata.insert("dino.quantize.awq", scaling.found.len() as u32);
        }
        if let Some(int8) = self.int8 {
            int8.insert(&mut metadata);
        }
        if let Some(calibration) = self.calibration {
            metadata.insert("quantize.imatrix.dataset", calibration.datasets.join(", "));
            metadata.insert(
                "quantize.imatrix.entries_count",
                calibration.inputs.len() as u32,
            );
            metadata.insert("quantize.imatrix.chunks_count", calibration.chunks as u32);
        }
        metadata
    }
}

/// A tensor on its way to another type.
struct Job<'a> {
    tensor: &'a Tensor,
    target: DType,
    importance: Option<&'a [f32]>,
    /// What its columns were multiplied by.
    columns: Option<&'a [f32]>,
}

impl Job<'_> {
    /// Encodes it with what is known of its input, if anything is and it helps.
    fn encode(
        &self,
        hessians: Option<&mut Hessians>,
        fault: impl Fn(QuantError) -> QuantizeError,
    ) -> Result<(Encoded, Method), QuantizeError> {
        let (tensor, target, importance) = (self.tensor, self.target, self.importance);
        let is_looked_up = tensor.name() == "token_embd.weight";
        if !is_looked_up
            && can_feed_back(target)
            && let Some(hessians) = hessians
            && let Some(hessian) = hessians.of(tensor.name())?
        {
            let scaled = self.columns.map(|factors| scaled_hessian(hessian, factors));
            let hessian = scaled.as_ref().map_or(hessian, |scaled| scaled.view());
            let found = encode_with_feedback(tensor, target, importance, hessian);
            if let Some(found) = found.map_err(&fault)? {
                return Ok((found.encoded, found.method));
            }
        }
        let encoded = encode_tensor(tensor, target, importance).map_err(fault)?;
        Ok((encoded, Method::Rounded))
    }
}
