//! Reads adapters from the folders that PEFT writes: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! `base_model.model.MODULE.lora_A.weight` (`[rank, in]`) and `….lora_B.weight` (`[out, rank]`) belong to the linear
//! layer that `transformers` calls `MODULE`. What this layer is in the model, and in which order its rows are there,
//! the architecture says as it does for folders of whole models ([`HuggingFace`]); so it does not matter whether the
//! base was read from a folder or from a GGUF file.

use super::builder::{Builder, refuse};
use super::peft_config::PeftConfig;
use super::{Adapter, AdapterBase};
use crate::ModelError;
use crate::arch::{HuggingFace, LinearRows};
use crate::format::{FormatError, Weights, safetensors};
use ndarray::{Array2, Axis};
use std::path::{Path, PathBuf};

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
const BASE: &str = "base_model.model.";
const DOWN: &str = ".lora_A.weight";
const UP: &str = ".lora_B.weight";

/// The folder that `path` is or lies in: one with an `adapter_config.json`, or one of its files.
pub(super) fn find(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return path.join(CONFIG).is_file().then(|| path.into());
    }
    let name = path.file_name()?.to_str()?;
    let folder = path.parent()?;
    let inside = [CONFIG, TENSORS].contains(&name) && folder.join(CONFIG).is_file();
    inside.then(|| folder.into())
}

/// The adapter in `folder`, multiplied by `scale`.
pub(super) fn read(
    folder: &Path,
    base: &AdapterBase<'_>,
    scale: f32,
) -> Result<Adapter, ModelError> {
    let config = PeftConfig::read(&folder.join(CONFIG))?;
    let file = folder.join(TENSORS);
    let weights = weights(folder, &file)?;
    let modules = modules(&weights);
    let description = describe(base, &modules, &file)?;
    let mut builder = Builder::new(base, folder);
    let names = description.prefixed(modules.iter().copied());
    for (module, name) in modules.iter().zip(&names) {
        let layer = Layer {
            weights: &weights,
            config: &config,
            module,
        };
        let (down, up) = layer.matrices(&builder, scale)?;
        let shares = description.linear_rows(base.metadata, name, up.nrows())?;
        for share in shares.ok_or_else(|| layer.unknown(&builder))? {
            layer.add(&mut builder, share, &down, &up)?;
        }
    }
    match weights.unread().next() {
        Some(name) => {
            let message = format!("tensor `{name}` is no matrix of a low-rank adapter");
            Err(refuse(&file, message))
        }
        None => builder.finish(),
    }
}

/// The tensors of the folder.
fn weights(folder: &Path, file: &Path) -> Result<Weights, ModelError> {
    if !file.is_file() {
        return Err(FormatError::Lacking {
            folder: folder.into(),
            wanted: TENSORS,
            advice: "save the adapter with safe_serialization; PyTorch's .bin files are not read here",
        }
        .into());
    }
    let mut weights = Weights::new(file);
    for (name, raw) in safetensors::open(file)? {
        weights.insert(raw.readable(file, &name)?)?;
    }
    Ok(weights)
}

/// The modules that are adapted, as the base model calls them.
fn modules(weights: &Weights) -> Vec<&str> {
    let ours = weights.names().filter_map(|name| name.strip_prefix(BASE));
    ours.filter_map(|name| name.strip_suffix(DOWN)).collect()
}

/// The description that knows all modules, or else the first.
fn describe(
    base: &AdapterBase<'_>,
    modules: &[&str],
    file: &Path,
) -> Result<HuggingFace, ModelError> {
    let architecture = base.metadata.architecture()?;
    let mut descriptions = base.registry.descriptions(architecture);
    let knows_all = |description: &HuggingFace| {
        let names = description.prefixed(modules.iter().copied());
        names.iter().all(|name| description.knows(name))
    };
    let at = descriptions.iter().position(knows_all).unwrap_or(0);
    if descriptions.is_empty() {
        let message = format!(
            "what `transformers` calls the layers of {architecture} models is not known here; convert the adapter to GGUF"
        );
        return Err(refuse(file, message));
    }
    Ok(descriptions.swap_remove(at))
}

/// One module of an adapter.
struct Layer<'a> {
    weights: &'a Weights,
    config: &'a PeftConfig,
    module: &'a str,
}

impl Layer<'_> {
    /// `A`, and `B` multiplied by all that there is to multiply by.
    fn matrices(
        &self,
        builder: &Builder<'_>,
        scale: f32,
    ) -> Result<(Array2<f32>, Array2<f32>), ModelError> {
        let Self {
            weights,
            config,
            module,
        } = self;
        let rank = config.rank(module);
        let (down, up) = (
            format!("{BASE}{module}{DOWN}"),
            format!("{BASE}{module}{UP}"),
        );
        let size = |name: &str, axis: usize| {
            let info = weights.info(name);
            info.and_then(|info| info.shape.get(axis).copied())
                .unwrap_or(0)
        };
        let down = weights.expect(&down, &[rank, size(&down, 1)])?;
        let up = weights.expect(&up, &[size(&up, 0), rank])?;
        let scale = config.scale(module) as f32 * scale;
        Ok((builder.values(&down)?, builder.values(&up)? * scale))
    }

    /// Adds the rows of `up` that are one of the model's weights.
    fn add(
        &self,
        builder: &mut Builder<'_>,
        share: LinearRows,
        down: &Array2<f32>,
        up: &Array2<f32>,
    ) -> Result<(), ModelError> {
        let parts = builder.parts(&share.weight);
        let Some([_, columns]) = parts.first().map(|(_, shape)| *shape) else {
            return Err(self.unknown(builder));
        };
        let rows: usize = parts.iter().map(|(_, [rows, _])| rows).sum();
        if (share.rows.len(), down.ncols()) != (rows, columns) {
            let (module, found) = (self.module, [up.nrows(), down.ncols()]);
            let message = format!(
                "it changes `{module}` as a matrix of shape {found:?}; the model's `{}` has {:?}",
                share.weight,
                [rows, columns]
            );
            return Err(builder.refuse(message));
        }
        builder.add(parts, down, &up.select(Axis(0), &share.rows))
    }

    fn unknown(&self, builder: &Builder<'_>) -> ModelError {
        let module = self.module;
        builder.refuse(format!(
            "it changes `{module}`, which this model does not have or cannot adapt"
        ))
    }
}
