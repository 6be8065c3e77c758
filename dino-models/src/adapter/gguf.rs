//! Reads adapters from GGUF files, as llama.cpp's `convert_lora_to_gguf.py` writes them.
//!
//! `general.type` is `adapter` and `adapter.type` is `lora`; `NAME.lora_a` (`[rank, in]`) and `NAME.lora_b` (`[out, rank]`)
//! belong to the weight `NAME`, whose rows are in the order of the model's file.

use super::builder::{Builder, refuse};
use super::{Adapter, AdapterBase};
use crate::ModelError;
use crate::format::ModelFile;

const DOWN: &str = ".lora_a";
const UP: &str = ".lora_b";

/// The adapter in `file`, multiplied by `scale`.
pub(super) fn read(
    file: &ModelFile,
    base: &AdapterBase<'_>,
    scale: f32,
) -> Result<Adapter, ModelError> {
    let alpha = check(file, base.metadata.architecture()?)?;
    let mut builder = Builder::new(base, &file.path);
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
        layer(file, &mut builder, (name, rank), own * scale)?;
    }
    match file.weights.unread().next() {
        Some(name) => Err(builder.refuse(format!("tensor `{name}` is no part of an adapter"))),
        None => builder.finish(),
    }
}

/// Makes sure that this is an adapter for `architecture`; gives its alpha.
fn check(file: &ModelFile, architecture: &str) -> Result<f32, ModelError> {
    let metadata = &file.metadata;
    for (key, expected) in [
        ("general.type", "adapter"),
        ("adapter.type", "lora"),
        ("general.architecture", architecture),
    ] {
        let found: &str = metadata.get(key)?;
        if found != expected {
            let message = format!("{key} is {found:?}; expected {expected:?}");
            return Err(refuse(&file.path, message));
        }
    }
    let alpha: f32 = metadata.get("adapter.lora.alpha")?;
    if alpha.is_finite() {
        return Ok(alpha);
    }
    let message = format!("adapter.lora.alpha is {alpha}; expected a number");
    Err(refuse(&file.path, message))
}

/// Reads what is added to the weight `name`, which the model may hold in parts.
fn layer(
    file: &ModelFile,
    builder: &mut Builder<'_>,
    (name, rank): (&str, usize),
    scale: f32,
) -> Result<(), ModelError> {
    let parts = builder.parts(name);
    let Some([_, columns]) = parts.first().map(|(_, shape)| *shape) else {
        let message =
            format!("it changes `{name}`, which this model does not have or cannot adapt");
        return Err(builder.refuse(message));
    };
    let rows = parts.iter().map(|(_, [rows, _])| rows).sum();
    let matrix = |name: &str, shape: [usize; 2]| file.weights.expect(name, &shape);
    let down = builder.values(&matrix(&format!("{name}{DOWN}"), [rank, columns])?)?;
    let up = builder.values(&matrix(&format!("{name}{UP}"), [rows, rank])?)?;
    builder.add(parts, &down, &(up * scale))
}
