//! From a file's weights to a model's.

use super::Bias;
use super::spec::check;
use crate::format::{Metadata, ModelFile, Weights};
use crate::packed_file::{Encoders, PackedCache, PackedSource, PackedStore};
use crate::residency::Unit;
use crate::{Int8, ModelError, Residency};
use dino_core::storage::Arena;
use dino_core::{DType, Observe, Requantize, Storage, Tensor, WeightPlace};
use dino_kernels::{Compute, Int8Input, KvTypes, PackedWeight, Packing};
use hashbrown::HashMap;
use ndarray::ArrayView2;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// How a model is to be loaded.
#[derive(Clone, Default)]
pub struct LoaderOptions {
    /// Whether quantized weights are multiplied by f32 activations; slow and precise. Otherwise activations are
    /// quantized to 8 bits on the way.
    pub precise: bool,
    /// Positions that the model will be asked for, where they are fewer than it was trained for: some stretched
    /// contexts are computed by it. `None` for all.
    pub context_length: Option<usize>,
    /// Re-encodes weights while they are loaded.
    pub requantize: Option<Arc<dyn Requantize>>,
    /// Runs linear layers on plain 8-bit integers; without effect where `precise` asks for f32.
    pub int8: Option<Arc<Int8>>,
    /// Where the packed weights are kept for later loads; see [`crate::packed_file`].
    pub packed_cache: Option<PathBuf>,
    /// Where packed weights are while the model runs.
    pub residency: Residency,
    /// Whether a streamed model's file is larger than what the system can keep of it: then what was let go of is to leave the
    /// system's cache of files, too.
    pub evicts: bool,
    /// Of the cache that the model will be run with: a streamed model leaves room for it.
    pub kv_types: KvTypes,
    /// Whether the bytes of tensors are read by ordinary reads rather than through the map of the file.
    pub read_tensors: bool,
    /// Sees what goes into the linear layers while the model runs.
    pub observer: Option<Arc<dyn Observe>>,
    /// Is told after each weight how far loading is.
    pub on_progress: Option<Arc<dyn Fn(LoadProgress) + Send + Sync>>,
}

/// How far loading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadProgress {
    /// Bytes of the file that were read.
    pub done: usize,
    /// Bytes that there are to read.
    pub total: usize,
}

/// A linear layer as a model holds it.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[out_features, in_features]`.
    pub weight: PackedWeight,
    /// How its input is rounded, of an int8 weight; layers that read one input share it.
    pub int8: Option<Arc<Int8Input>>,
    /// `[out_features]`.
    pub bias: Option<Vec<f32>>,
    /// Who wants to see the layer's input, if anybody does.
    pub watch: Option<Watch>,
}

/// An observer of one weight's input.
#[derive(Clone)]
pub struct Watch {
    weight: Arc<str>,
    /// Which matrix of the weight, and how many it has.
    matrix: usize,
    matrices: usize,
    observer: Arc<dyn Observe>,
}

impl Watch {
    /// Shows the input of the layer, `[tokens, in_features]`.
    pub fn show(&self, rows: ArrayView2<'_, f32>) {
        let place = WeightPlace {
            name: &self.weight,
            matrix: self.matrix,
            matrices: self.matrices,
        };
        self.observer.linear_input(place, rows);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Watch").field(&self.weight).finish()
    }
}

/// What an architecture builds its model from: lookups that check shapes and record what was used.
pub struct Loader<'a> {
    file: &'a ModelFile,
    compute: &'a Compute,
    options: LoaderOptions,
    arena: Arena,
    packed: PackedStore,
    /// Packed weights since the last [`Loader::take_unit`].
    unit: Unit,
    /// Of the linear layers so far, by the names of their weights.
    linear_shapes: HashMap<String, [usize; 2]>,
    done: usize,
    total: usize,
}

/// Keys of an architecture that say nothing about its numbers.
const INERT_KEYS: [&str; 2] = ["tensor_data_layout", "vocab_size"];

impl<'a> Loader<'a> {
    /// A loader of `file` that packs weights for the kernels of `compute`.
    pub fn new(file: &'a ModelFile, compute: &'a Compute, options: LoaderOptions) -> Self {
        let total = file.weights.infos().map(|tensor| tensor.bytes()).sum();
        let asked = options.packed_cache.clone();
        let packed = match asked.filter(|_| options.residency != Residency::Unpacked) {
            None => PackedStore::Off,
            Some(path) => {
                let encoders = Encoders {
                    requantize: options.requantize.as_deref(),
                    int8: options.int8.as_deref().filter(|_| !options.precise),
                };
                let lanes = compute.kernels.lanes();
                let residency = options.residency;
                let mapped = matches!(residency, Residency::Mapped | Residency::Streamed { .. });
                PackedStore::open(path, file, lanes, encoders, mapped)
            }
        };
        Self {
            file,
            compute,
            options,
            arena: Arena::new(),
            packed,
            unit: Unit::default(),
            linear_shapes: HashMap::new(),
            done: 0,
            total,
        }
    }

    /// The file's metadata.
    pub fn metadata(&self) -> &'a Metadata {
        &self.file.metadata
    }

    /// The file's weights.
    pub fn weights(&self) -> &'a Weights {
        &self.file.weights
    }

    /// Positions that the model will be asked for; see [`LoaderOptions::context_length`].
    pub fn context_length(&self) -> Option<usize> {
        self.options.context_length
    }

    /// Whether activations stay f32; see [`LoaderOptions::precise`].
    pub fn precise(&self) -> bool {
        self.options.precise
    }

    /// The linear layer `name` (`name.weight`, and `name.bias`) of `shape`: `[out_features, in_features]`.
    ///
    /// # Errors
    /// If the weight, or a bias that there must be, is missing, or one of them is of another shape.
    pub fn linear(
        &mut self,
        name: &str,
        shape: [usize; 2],
        bias: Bias,
    ) -> Result<Linear, ModelError> {
        let tensor = format!("{name}.weight");
        let tensor = self.file.weights.expect(&tensor, &shape)?;
        let (weight, int8) = self.pack_linear(&tensor, tensor.name())?;
        let bias = self.bias(name, shape[0], bias)?;
        let watch = self.watch(tensor.name());
        self.linear_shapes.insert(tensor.name().to_owned(), shape);
        Ok(Linear {
            weight,
            int8,
            bias,
            watch,
        })
    }

    /// The linear layers whose weights are the matrices of one tensor, `name.weight`, of `shape`: `[layers, out_features,
    /// in_features]`: those of experts. Each is packed by itself. Their biases are the rows of `name.bias`.
    ///
    /// # Errors
    /// If the weight, or a bias that there must be, is missing, or one of them is of another shape.
    pub fn stack(
        &mut self,
        name: &str,
        shape: [usize; 3],
        bias: Bias,
    ) -> Result<Vec<Linear>, ModelError> {
        let tensor = (self.file.weights).expect(&format!("{name}.weight"), &shape)?;
        let biases = self.bias_of(name, &shape[..2], bias)?;
        let layers = (0..shape[0]).map(|index| {
            let (weight, int8) = self.place_linear(&tensor.index(index)?, tensor.name())?;
            let experts = &mut self.unit.experts;
            experts.resize_with(experts.len().max(index + 1), Vec::new);
            experts[index].push(weight.storage().clone());
            let watch = self.watch(tensor.name()).map(|watch| Watch {
                matrix: index,
                matrices: shape[0],
                ..watch
            });
            let bias = biases.as_ref();
            Ok(Linear {
                weight,
                int8,
                bias: bias.map(|all| all[index * shape[1]..][..shape[1]].to_vec()),
                watch,
            })
        });
        layers.collect()
    }

    /// Linear layers whose weights are the rows of one tensor, `name.weight`: those of the first, then those of the
    /// next; likewise their biases.
    ///
    /// # Errors
    /// If the weight, or a bias that there must be, is missing, or one of them is of another shape.
    pub fn fused<const N: usize>(
        &mut self,
        name: &str,
        out_features: [usize; N],
        in_features: usize,
        bias: Bias,
    ) -> Result<[Linear; N], ModelError> {
        let tensor_name = format!("{name}.weight");
        let total = out_features.iter().sum();
        let tensor = (self.file.weights).expect(&tensor_name, &[total, in_features])?;
        let mut biases = self.bias(name, total, bias)?;
        let (mut layers, mut start) = (Vec::with_capacity(N), 0);
        for (index, rows) in out_features.into_iter().enumerate() {
            let (dtype, shape) = (tensor.dtype(), [rows, in_features]);
            let bytes = Tensor::byte_size(&tensor_name, dtype, &shape)?;
            let storage = tensor.storage().slice(start, bytes)?;
            let part = Tensor::new(format!("{tensor_name}[{index}]"), dtype, &shape, storage)?;
            let (weight, int8) = self.pack_linear(&part, &tensor_name)?;
            self.linear_shapes.insert(part.name().to_owned(), shape);
            let bias = biases.as_mut().map(|all| all.drain(..rows).collect());
            // All parts have one input, which is shown once.
            let watch = (index == 0).then(|| self.watch(&tensor_name)).flatten();
            layers.push(Linear {
                weight,
                int8,
                bias,
                watch,
            });
            start += bytes;
        }
        Ok(layers.try_into().expect("as many layers as sizes"))
    }

    /// Who wants to see the input of the weight with this name, if anybody does.
    pub fn watch(&self, weight: &str) -> Option<Watch> {
        let observer = self.options.observer.as_ref();
        observer.map(|observer| Watch {
            weight: weight.into(),
            matrix: 0,
            matrices: 1,
            observer: Arc::clone(observer),
        })
    }

    /// Who watches the model, if anybody does.
    pub(crate) fn observer(&self) -> Option<Arc<dyn Observe>> {
        self.options.observer.clone()
    }

    /// A linear layer without bias whose weight is some `rows` of a tensor, `name.weight` of `shape`. They are only asked
    /// for where the tensor has this shape.
    ///
    /// # Errors
    /// If the weight is missing or of another shape.
    ///
    /// # Panics
    /// If it has no such row.
    pub fn picked(
        &mut self,
        name: &str,
        shape: [usize; 2],
        rows: impl FnOnce() -> Vec<usize>,
    ) -> Result<Linear, ModelError> {
        let name = format!("{name}.weight");
        let tensor = self.file.weights.expect(&name, &shape)?;
        let rows = rows();
        let row_bytes = tensor.storage().len() / shape[0];
        let bytes = tensor.storage().as_slice();
        let row = |&row: &usize| &bytes[row * row_bytes..][..row_bytes];
        let picked: Vec<u8> = rows.iter().flat_map(row).copied().collect();
        let shape = [rows.len(), shape[1]];
        let storage = Storage::from_vec(picked);
        let first = rows.first().copied().unwrap_or(0);
        let part = Tensor::new(format!("{name}[{first}…]"), tensor.dtype(), &shape, storage)?;
        let (weight, int8) = self.pack_linear(&part, &name)?;
        // All picks of a tensor have one input, which is shown once.
        let watch = (rows.first() == Some(&0))
            .then(|| self.watch(&name))
            .flatten();
        Ok(Linear {
            weight,
            int8,
            bias: None,
            watch,
        })
    }

    /// The bias of the linear layer `layer`, of `len` values.
    pub(crate) fn bias(
        &mut self,
        layer: &str,
        len: usize,
        bias: Bias,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        self.bias_of(layer, &[len], bias)
    }

    /// The biases of the linear layer `layer`, or of all layers of a stack, of `shape`.
    fn bias_of(
        &mut self,
        layer: &str,
        shape: &[usize],
        bias: Bias,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        let name = format!("{layer}.bias");
        match bias {
            Bias::Never => Ok(None),
            Bias::AsStored if !self.file.weights.contains(&name) => Ok(None),
            Bias::Always | Bias::AsStored => self.values(&name, shape).map(Some),
        }
    }

    /// Packs the matrix of a linear layer that every token goes through, part of the weight `weight`.
    fn pack_linear(
        &mut self,
        tensor: &Tensor,
        weight: &str,
    ) -> Result<(PackedWeight, Option<Arc<Int8Input>>), ModelError> {
        let packed = self.place_linear(tensor, weight)?;
        self.unit.always.push(packed.0.storage().clone());
        Ok(packed)
    }

    /// As [`Self::place`], or for plain integers, with how the input is then rounded.
    fn place_linear(
        &mut self,
        tensor: &Tensor,
        weight: &str,
    ) -> Result<(PackedWeight, Option<Arc<Int8Input>>), ModelError> {
        let int8 = self.options.int8.clone();
        let int8 = int8.filter(|int8| !self.precise() && int8.takes(weight, tensor.columns()));
        let Some(int8) = int8 else {
            return Ok((self.place(tensor)?, None));
        };
        let (input, factors) = int8.of(weight);
        let columns = tensor.columns();
        if let Some(factors) = factors {
            let key = format!("dino.int8.factors, those of {weight}");
            let fits = factors.len() == columns;
            let expected = format!("{columns}, one for each column");
            check(self.metadata(), &key, factors.len(), fits, &expected)?;
        }
        let kind = (tensor.dtype(), Packing::Int8);
        let packed = self.packed_or(tensor, kind, |loader, source| {
            let Compute { kernels, pool, .. } = loader.compute;
            let arena = &mut loader.arena;
            PackedWeight::pack_int8(source, factors, kernels.lanes(), pool, arena)
        })?;
        Ok((packed, Some(Arc::clone(input))))
    }

    /// Packs a matrix for the kernels, re-encoded first if the options say so; or takes it from the packed file.
    ///
    /// # Errors
    /// If it cannot be re-encoded or packed.
    pub fn pack(&mut self, tensor: &Tensor) -> Result<PackedWeight, ModelError> {
        let weight = self.place(tensor)?;
        self.unit.always.push(weight.storage().clone());
        Ok(weight)
    }

    /// As [`Self::pack`], before it is said when the weight is used.
    fn place(&mut self, tensor: &Tensor) -> Result<PackedWeight, ModelError> {
        let encoder = self.options.requantize.clone();
        let target = encoder.as_ref().and_then(|encoder| encoder.target(tensor));
        if target.is_none() && self.options.residency == Residency::Unpacked {
            return self.leave(tensor);
        }
        let kind = (target.unwrap_or(tensor.dtype()), Packing::Stored);
        self.packed_or(tensor, kind, |loader, source| {
            let encoded = match (&encoder, target) {
                (Some(encoder), Some(target)) => Some(encoder.requantize(source, target)?),
                _ => None,
            };
            let source = encoded.as_ref().unwrap_or(source);
            let arena = &mut loader.arena;
            Ok::<_, ModelError>(PackedWeight::pack_for(source, loader.compute, arena)?)
        })
    }

    /// A matrix that stays as it is in the file.
    fn leave(&mut self, tensor: &Tensor) -> Result<PackedWeight, ModelError> {
        let source = self.read(tensor)?;
        source.storage().prefetch();
        self.advance(tensor);
        let lanes = self.compute.kernels.lanes();
        Ok(PackedWeight::unpacked(&source, lanes)?)
    }

    /// The weight of this type from the packed file, or what `pack` makes of the tensor.
    fn packed_or<E: Into<ModelError>>(
        &mut self,
        tensor: &Tensor,
        kind: (DType, Packing),
        pack: impl FnOnce(&mut Self, &Tensor) -> Result<PackedWeight, E>,
    ) -> Result<PackedWeight, ModelError> {
        let shape = [tensor.rows(), tensor.columns()];
        let weight = match self.packed.get(tensor.name(), kind, shape) {
            Some(weight) => self.settle(weight)?,
            None => {
                let source = self.read(tensor)?;
                let weight = pack(self, &source).map_err(Into::into)?;
                tensor.storage().release();
                self.packed.keep(weight)
            }
        };
        self.advance(tensor);
        Ok(weight)
    }

    /// A tensor whose bytes may be read: through the map of the file, or as ordinary reads gave them.
    fn read(&self, tensor: &Tensor) -> Result<Tensor, ModelError> {
        if !self.options.read_tensors {
            return Ok(tensor.clone());
        }
        let bytes = tensor.storage().to_owned_bytes()?;
        Ok(Tensor::new(
            tensor.name(),
            tensor.dtype(),
            tensor.shape(),
            bytes,
        )?)
    }

    /// A weight of the packed file, in memory if that is where weights are to be.
    fn settle(&mut self, weight: PackedWeight) -> Result<PackedWeight, ModelError> {
        if self.options.residency != Residency::Resident {
            return Ok(weight);
        }
        Ok(weight.moved(weight.storage().to_owned_bytes()?)?)
    }

    /// The bytes of the weights that were packed since this was last asked: one layer's, if it is asked after each.
    pub(crate) fn take_unit(&mut self) -> Unit {
        std::mem::take(&mut self.unit)
    }

    /// The shapes of the linear layers so far, by the names of their weights; not of those of experts.
    pub(crate) fn take_linear_shapes(&mut self) -> HashMap<String, [usize; 2]> {
        std::mem::take(&mut self.linear_shapes)
    }

    /// Where packed weights are while the model runs.
    pub(crate) fn residency(&self) -> Residency {
        self.options.residency
    }

    /// See [`LoaderOptions::evicts`].
    pub(crate) fn evicts(&self) -> bool {
        self.options.evicts
    }

    /// Types of the cache that the model will be run with.
    pub(crate) fn kv_types(&self) -> KvTypes {
        self.options.kv_types
    }

    /// The packed file that weights come from, to see whether it changes.
    pub(crate) fn packed_source(&self) -> Option<PackedSource> {
        self.packed.source()
    }

    /// Completes the packed file that this load wrote, if it did; says what became of it.
    pub fn finish_packed(&mut self) -> PackedCache {
        self.packed.finish()
    }

    /// The vector `name` of `len` values.
    ///
    /// # Errors
    /// If it is missing or of another length.
    pub fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, ModelError> {
        self.values(name, &[len])
    }

    /// The values of the tensor `name` of `shape`, row by row.
    ///
    /// # Errors
    /// If it is missing or of another shape.
    pub fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let tensor = self.file.weights.expect(name, shape)?;
        self.advance(&tensor);
        let array = self.read(&tensor)?.to_array()?;
        Ok(array.into_raw_vec_and_offset().0)
    }

    /// The vector `name`, if there is one.
    ///
    /// # Errors
    /// If it is of another length.
    pub fn maybe_vector(&mut self, name: &str, len: usize) -> Result<Option<Vec<f32>>, ModelError> {
        if !self.file.weights.contains(name) {
            return Ok(None);
        }
        self.vector(name, len).map(Some)
    }

    /// Tokens of the embedding table: its rows, which the metadata must agree with.
    ///
    /// # Errors
    /// If the table is missing or `expected` is another number.
    pub fn vocabulary(&self, expected: Option<usize>) -> Result<usize, ModelError> {
        let rows = match self.file.weights.info("token_embd.weight") {
            Some(info) => info.shape.first().copied().unwrap_or(0),
            None => self.file.weights.get("token_embd.weight")?.rows(),
        };
        let fits = rows > 0 && u32::try_from(rows).is_ok() && expected.is_none_or(|n| n == rows);
        let key = self.metadata().scoped()?.key("vocab_size");
        let found = expected.unwrap_or(rows);
        let table = self.file.weights.told("token_embd.weight");
        check(
            self.metadata(),
            &key,
            found,
            fits,
            &format!("the {rows} rows of {table}"),
        )?;
        Ok(rows)
    }

    fn advance(&mut self, tensor: &Tensor) {
        self.done += tensor.storage().len();
        if let Some(report) = &self.options.on_progress {
            report(LoadProgress {
                done: self.done.min(self.total),
                total: self.total,
            });
        }
    }

    /// Makes sure that the model used every tensor and every key of its architecture.
    ///
    /// # Errors
    /// [`ModelError::UnreadKeys`], [`ModelError::UnreadTensors`].
    pub fn finish(&self) -> Result<(), ModelError> {
        let scope = format!("{}.", self.metadata().architecture()?);
        let matters = |key: &&str| {
            key.strip_prefix(&scope)
                .is_some_and(|rest| !INERT_KEYS.contains(&rest))
        };
        let keys: Vec<_> = self
            .metadata()
            .unread()
            .filter(matters)
            .map(|key| self.metadata().told(key).to_owned())
            .collect();
        let file = || self.metadata().file().to_owned();
        if !keys.is_empty() {
            return Err(ModelError::UnreadKeys { file: file(), keys });
        }
        let unread = self.file.weights.unread();
        let tensors: Vec<_> = unread.map(|name| self.file.weights.told(name)).collect();
        if !tensors.is_empty() {
            return Err(ModelError::UnreadTensors {
                file: file(),
                tensors,
            });
        }
        Ok(())
    }
}
