//! Low-rank adapters: what fine-tuning has changed, beside the weights instead of in them.
//!
//! Hu et al., LoRA, arXiv:2106.09685. A linear layer `y = W x` becomes `y = W x + s B A x`, with `A` of a few rows. The
//! base stays as it is, quantized and shared; each span of a [`Batch`](crate::Batch) has the adapter that it wants, so
//! that requests with different ones, and with none, run in one pass.

mod builder;
mod gguf;
mod peft;
mod peft_config;

use crate::arch::Registry;
use crate::format::{Metadata, ModelFile};
use crate::{CausalLm, ModelError};
use dino_kernels::ops::{self, LinearInput};
use dino_kernels::{Compute, PackedWeight};
use hashbrown::HashMap;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, Slice};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one or several adapters add to the linear layers of a model.
///
/// Made by [`Adapter::open`] for one model, and shared by all that use it.
#[derive(Debug)]
pub struct Adapter {
    id: u64,
    file: PathBuf,
    /// By the name of the weight that they add to.
    layers: HashMap<String, Vec<Arc<LowRank>>>,
}

/// The model that an adapter is read for.
pub struct AdapterBase<'a> {
    /// What its file says.
    pub metadata: &'a Metadata,
    /// Its linear layers.
    pub model: &'a dyn CausalLm,
    /// Knows what Hugging Face calls them.
    pub registry: &'a Registry,
    /// What it is run with.
    pub compute: &'a Compute,
}

/// What is added to one linear layer: `B A x`, the scale in `B`.
#[derive(Debug)]
struct LowRank {
    /// `A`, `[rank, in_features]`.
    down: PackedWeight,
    /// `B`, `[out_features, rank]`.
    up: PackedWeight,
}

/// Tells adapters apart, also when the memory of an older one is used again.
static COUNT: AtomicU64 = AtomicU64::new(1);

impl Adapter {
    fn new(file: PathBuf, layers: HashMap<String, Vec<Arc<LowRank>>>) -> Self {
        let id = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { id, file, layers }
    }

    /// Reads the adapter at `path` for a model: a GGUF file, or a folder of PEFT's with `adapter_config.json` and
    /// `adapter_model.safetensors`. What it adds is multiplied by `scale`, 1 being what it was trained for.
    ///
    /// # Errors
    /// [`ModelError::Adapter`] if it is no adapter, is one of another architecture, or changes a layer that the model does
    /// not have or that cannot be adapted; [`ModelError::Unsupported`] if it is more than a low-rank adapter (`use_dora`,
    /// `modules_to_save`, …); if tensors are missing or of wrong shapes.
    pub fn open(
        path: impl AsRef<Path>,
        base: &AdapterBase<'_>,
        scale: f32,
    ) -> Result<Self, ModelError> {
        let path = path.as_ref();
        match peft::find(path) {
            Some(folder) => peft::read(&folder, base, scale),
            None => gguf::read(&ModelFile::open(path)?, base, scale),
        }
    }

    /// An adapter that adds what all of `adapters` add; they share their weights with it.
    pub fn sum<'a>(adapters: impl IntoIterator<Item = &'a Self>) -> Self {
        let (mut file, mut layers) = (PathBuf::new(), HashMap::<_, Vec<_>>::new());
        for adapter in adapters {
            file.clone_from(&adapter.file);
            for (name, parts) in &adapter.layers {
                layers
                    .entry(name.clone())
                    .or_default()
                    .extend_from_slice(parts);
            }
        }
        Self::new(file, layers)
    }

    /// A number that no other adapter of this process has. Keys and values that were computed with an adapter are of no
    /// use without it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The file it was read from; of a sum, the last one's.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Linear layers that it changes.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Bytes of memory that it takes.
    pub fn byte_size(&self) -> usize {
        let parts = self.layers.values().flatten();
        parts
            .map(|part| part.down.byte_size() + part.up.byte_size())
            .sum()
    }

    /// Adds what the adapter makes of some rows of `input`, `[tokens, in_features]`, to those of the result of the layer
    /// whose weight is called `name`, `[tokens, out_features]`. All rows are run together, wherever they lie.
    pub fn add(
        &self,
        compute: &Compute,
        name: &str,
        rows: &[Range<usize>],
        (input, mut output): (ArrayView2<'_, f32>, ArrayViewMut2<'_, f32>),
    ) {
        let Some(parts) = self.layers.get(name) else {
            return;
        };
        if let [rows] = rows {
            let rows = Slice::from(rows.clone());
            let input = input.slice_axis(Axis(0), rows);
            for part in parts {
                part.add(compute, input, output.slice_axis_mut(Axis(0), rows));
            }
            return;
        }
        let indices: Vec<usize> = rows.iter().cloned().flatten().collect();
        let input = input.select(Axis(0), &indices);
        let mut results = output.select(Axis(0), &indices);
        for part in parts {
            part.add(compute, input.view(), results.view_mut());
        }
        for (&index, result) in indices.iter().zip(results.rows()) {
            output.row_mut(index).assign(&result);
        }
    }
}

impl LowRank {
    /// Adds `B A x` to `output`, `[tokens, out_features]`.
    fn add(&self, compute: &Compute, input: ArrayView2<'_, f32>, output: ArrayViewMut2<'_, f32>) {
        let mut inner = Array2::zeros((input.nrows(), self.down.rows()));
        let down = ops::Linear::store(&self.down, None, inner.view_mut());
        ops::linear(compute, LinearInput::precise(input), &[down]);
        let up = ops::Linear::add(&self.up, None, output);
        ops::linear(compute, LinearInput::precise(inner.view()), &[up]);
    }
}
