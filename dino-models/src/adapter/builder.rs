//! From the matrices of a file to what is added to a model's layers.

use super::{Adapter, AdapterBase, LowRank};
use crate::ModelError;
use dino_core::storage::Arena;
use dino_core::{DType, Storage, Tensor};
use dino_kernels::{Compute, PackedWeight};
use hashbrown::HashMap;
use ndarray::{Array2, Axis, Slice};
use std::path::Path;
use std::sync::Arc;

/// An adapter that is being read for one model.
pub(super) struct Builder<'a> {
    base: &'a AdapterBase<'a>,
    file: &'a Path,
    layers: HashMap<String, Vec<Arc<LowRank>>>,
    /// Of all matrices: they come and go together.
    arena: Arena,
}

impl<'a> Builder<'a> {
    /// An empty adapter; errors will name `file`.
    pub(super) fn new(base: &'a AdapterBase<'a>, file: &'a Path) -> Self {
        Self {
            base,
            file,
            layers: HashMap::new(),
            arena: Arena::new(),
        }
    }

    /// The linear layers that the rows of the weight `name` belong to, in their order, with their shapes; empty if the
    /// model has no such weight or cannot adapt it.
    pub(super) fn parts(&self, name: &str) -> Vec<(String, [usize; 2])> {
        let shape = |name: &str| self.base.model.linear_shape(name);
        if let Some(shape) = shape(name) {
            return vec![(name.to_owned(), shape)];
        }
        let parts = (0..).map(|index| format!("{name}[{index}]"));
        let parts = parts.map_while(|part| shape(&part).map(|shape| (part, shape)));
        parts.collect()
    }

    /// Adds `up · down · x` to the layers that are `parts` of one weight: `down` is `[rank, in_features]`, `up`
    /// `[out_features, rank]` of all of them.
    pub(super) fn add(
        &mut self,
        parts: Vec<(String, [usize; 2])>,
        down: &Array2<f32>,
        up: &Array2<f32>,
    ) -> Result<(), ModelError> {
        let mut start = 0;
        for (part, [rows, _]) in parts {
            let up = up.slice_axis(Axis(0), Slice::from(start..start + rows));
            let added = LowRank {
                down: self.pack(&part, down)?,
                up: self.pack(&part, &up.to_owned())?,
            };
            self.layers.entry(part).or_default().push(Arc::new(added));
            start += rows;
        }
        Ok(())
    }

    /// The values of a matrix, which have to be numbers.
    pub(super) fn values(&self, tensor: &Tensor) -> Result<Array2<f32>, ModelError> {
        let array = tensor.to_array()?;
        if array.iter().all(|value| value.is_finite()) {
            return Ok(array);
        }
        let name = tensor.name();
        Err(self.refuse(format!("tensor `{name}` holds a value that is no number")))
    }

    fn pack(&mut self, name: &str, values: &Array2<f32>) -> Result<PackedWeight, ModelError> {
        let bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let shape = [values.nrows(), values.ncols()];
        let tensor = Tensor::new(name, DType::F32, &shape, Storage::from_vec(bytes))?;
        let Compute { kernels, pool, .. } = self.base.compute;
        let packed = PackedWeight::pack(&tensor, kernels.lanes(), pool, &mut self.arena)?;
        Ok(packed)
    }

    /// The error that the file does not go with the model.
    pub(super) fn refuse(&self, message: String) -> ModelError {
        refuse(self.file, message)
    }

    /// The adapter; one that changes nothing is an error.
    pub(super) fn finish(self) -> Result<Adapter, ModelError> {
        if self.layers.is_empty() {
            return Err(self.refuse("it changes no layer".into()));
        }
        Ok(Adapter::new(self.file.to_owned(), self.layers))
    }
}

/// The error that `file` does not go with the model.
pub(super) fn refuse(file: &Path, message: String) -> ModelError {
    ModelError::Adapter {
        file: file.to_owned(),
        message,
    }
}
