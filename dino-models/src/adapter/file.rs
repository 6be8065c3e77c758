//! Reads adapters from GGUF files, as llama.cpp's `convert_lora_to_gguf.py` writes them.
//!
//! `general.type` is `adapter` and `adapter.type` is `lora`; `NAME.lora_a` (`[rank, in]`) and `NAME.lora_b` (`[out, rank]`)
//! belong to the weight `NAME`, whose rows are in the order of the model's file.

use super::{Adapter, LowRank};
use crate::format::ModelFile;
use crate::{CausalLm, ModelError};
use dino_core::storage::Arena;
use dino_core::{DType, Storage, Tensor};
use dino_kernels::{Compute, PackedWeight};
use hashbrown::HashMap;
use ndarray::{Array2, Axis, Slice};
use std::sync::Arc;

const DOWN: &str = ".lora_a";
const UP: &str = ".lora_b";

impl Adapter {
    /// Reads the adapter in `file` for `model`; what it adds is multiplied by `scale`, 1 being what it was trained for.
    ///
    /// # Errors
    /// [`ModelError::Adapter`] if it is no adapter, is one of another architecture, or changes a tensor that the model does
    /// not have or that cannot be adapted; if tensors are missing or of wrong shapes.
    pub fn read(
        file: &ModelFile,
        architecture: &str,
        model: &dyn CausalLm,
        compute: &Compute,
        scale: f32,
    ) -> Result<Self, ModelError> {
        let reader = Reader {
            file,
            model,
            compute,
        };
        let alpha = reader.check(architecture)?;
        let mut layers = HashMap::new();
        for tensor in file.weights.iter() {
            let Some(name) = tensor.name().strip_suffix(DOWN) else {
                continue;
            };
            let rank = tensor.rows();
            // An alpha of 0 means that none was written.
            let own = if alpha == 0.0 {
                1.0
            } else {
                alpha / rank as f32
            };
            reader.layer(name, rank, own * scale, &mut layers)?;
        }
        match file.weights.unread().next() {
            Some(name) => Err(reader.refuse(format!("tensor `{name}` is no part of an adapter"))),
            None => Ok(Self::new(file.path.clone(), layers)),
        }
    }
}

struct Reader<'a> {
    file: &'a ModelFile,
    model: &'a dyn CausalLm,
    compute: &'a Compute,
}

impl Reader<'_> {
    /// Makes sure that this is an adapter for `architecture`; gives its alpha.
    fn check(&self, architecture: &str) -> Result<f32, ModelError> {
        let metadata = &self.file.metadata;
        for (key, expected) in [
            ("general.type", "adapter"),
            ("adapter.type", "lora"),
            ("general.architecture", architecture),
        ] {
            let found: &str = metadata.get(key)?;
            if found != expected {
                return Err(self.refuse(format!("{key} is {found:?}; expected {expected:?}")));
            }
        }
        let alpha: f32 = metadata.get("adapter.lora.alpha")?;
        if alpha.is_finite() {
            return Ok(alpha);
        }
        Err(self.refuse(format!("adapter.lora.alpha is {alpha}; expected a number")))
    }

    /// Reads what is added to the weight `name`, which the model may hold in parts.
    fn layer(
        &self,
        name: &str,
        rank: usize,
        scale: f32,
        layers: &mut HashMap<String, Vec<Arc<LowRank>>>,
    ) -> Result<(), ModelError> {
        let parts = self.parts(name);
        let Some([_, columns]) = parts.first().map(|(_, shape)| *shape) else {
            let message =
                format!("it changes `{name}`, which this model does not have or cannot adapt");
            return Err(self.refuse(message));
        };
        let rows = parts.iter().map(|(_, [rows, _])| rows).sum();
        let down = self.values(&format!("{name}{DOWN}"), [rank, columns])?;
        let up = self.values(&format!("{name}{UP}"), [rows, rank])? * scale;
        let mut start = 0;
        for (part, [rows, _]) in parts {
            let up = up.slice_axis(Axis(0), Slice::from(start..start + rows));
            let added = LowRank {
                down: self.pack(&part, &down)?,
                up: self.pack(&part, &up.to_owned())?,
            };
            layers.insert(part, vec![Arc::new(added)]);
            start += rows;
        }
        Ok(())
    }

    /// The linear layers that the rows of the weight `name` belong to, in their order, with their shapes.
    fn parts(&self, name: &str) -> Vec<(String, [usize; 2])> {
        if let Some(shape) = self.model.linear_shape(name) {
            return vec![(name.to_owned(), shape)];
        }
        let parts = (0..).map(|index| format!("{name}[{index}]"));
        let parts =
            parts.map_while(|part| self.model.linear_shape(&part).map(|shape| (part, shape)));
        parts.collect()
    }

    fn values(&self, name: &str, shape: [usize; 2]) -> Result<Array2<f32>, ModelError> {
        let array = self.file.weights.expect(name, &shape)?.to_array()?;
        if array.iter().all(|value| value.is_finite()) {
            return Ok(array);
        }
        Err(self.refuse(format!("tensor `{name}` holds a value that is no number")))
    }

    fn pack(&self, name: &str, values: &Array2<f32>) -> Result<PackedWeight, ModelError> {
        let bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let shape = [values.nrows(), values.ncols()];
        let tensor = Tensor::new(name, DType::F32, &shape, Storage::from_vec(bytes))?;
        let Compute { kernels, pool } = self.compute;
        // Adapters are small, and each tensor goes when its adapter does: a region for each would be too much.
        let packed = PackedWeight::pack(&tensor, kernels.lanes(), pool, &mut Arena::new())?;
        let owned = packed.storage().to_owned_bytes()?;
        Ok(PackedWeight::from_packed(
            name,
            DType::F32,
            shape,
            kernels.lanes(),
            owned,
        )?)
    }

    fn refuse(&self, message: String) -> ModelError {
        ModelError::Adapter {
            file: self.file.path.clone(),
            message,
        }
    }
}
