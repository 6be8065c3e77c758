//! A file without the parts that go.

use std::sync::Arc;

use dino_models::format::{Array, KeptPart, ModelFile, TensorInfo, Value};

use super::CutError;
use super::kept::{Cut, Kept};
use super::shape::Shape;

impl Cut {
    /// Takes the parts out of a file, the one that they were found in or another copy of it. Tensors are made anew only
    /// when they are asked for.
    ///
    /// # Errors
    /// [`CutError`], if the file is another model's; it is of no use then.
    pub fn apply(&self, file: &mut ModelFile) -> Result<(), CutError> {
        let shape = Shape::of(file)?;
        match &self.kept {
            Kept::Layers(kept) => {
                keep_layers(file, &shape, kept)?;
            }
            Kept::Channels(kept) => {
                let channels = shape.channels()?;
                cut_layers(file, |part, info| {
                    channels_of(part, info, &kept[part.layer], channels)
                })?;
                set(file, "feed_forward_length", kept[0].len())?;
            }
            Kept::Heads(kept) => keep_heads(file, &shape, kept)?,
        }
        Ok(())
    }
}

/// Sets a number of the file's architecture, in the form that files have it.
fn set(file: &mut ModelFile, key: &str, value: usize) -> Result<(), CutError> {
    let key = format!("{}.{key}", file.metadata.architecture()?);
    file.metadata.insert(key, value as u32);
    Ok(())
}

/// A tensor of a layer: `attn_q` and `weight` of layer 3 for `blk.3.attn_q.weight`.
struct Part<'a> {
    layer: usize,
    name: &'a str,
    is_weight: bool,
}

impl<'a> Part<'a> {
    fn of(tensor: &'a str) -> Option<Self> {
        let (layer, rest) = tensor.strip_prefix("blk.")?.split_once('.')?;
        let (name, kind) = rest.rsplit_once('.')?;
        Some(Self {
            layer: layer.parse().ok()?,
            name,
            is_weight: kind == "weight",
        })
    }
}

/// Which rows and columns stay.
type Selection = (Option<Arc<[usize]>>, Option<Arc<[usize]>>);

/// Keeps of each tensor of a layer what `select` says, and all of the others.
fn cut_layers(
    file: &mut ModelFile,
    mut select: impl FnMut(&Part<'_>, &TensorInfo) -> Selection,
) -> Result<(), CutError> {
    file.weights.keep_parts(|info| {
        let (rows, columns) = Part::of(&info.name).map_or((None, None), |part| select(&part, info));
        Some(KeptPart {
            name: info.name.clone(),
            rows,
            columns,
        })
    })?;
    Ok(())
}

fn keep_layers(file: &mut ModelFile, shape: &Shape, kept: &[usize]) -> Result<(), CutError> {
    file.weights.keep_parts(|info| {
        let Some(part) = Part::of(&info.name) else {
            return Some(KeptPart {
                name: info.name.clone(),
                ..KeptPart::default()
            });
        };
        let place = kept.iter().position(|&layer| layer == part.layer)?;
        let rest = info.name.splitn(3, '.').nth(2).unwrap_or_default();
        Some(KeptPart {
            name: format!("blk.{place}.{rest}"),
            ..KeptPart::default()
        })
    })?;
    let scope = format!("{}.", file.metadata.architecture()?);
    let is_per_layer = |array: &Array| array.len() == shape.layers();
    let arrays = file.metadata.iter().filter_map(|(key, value)| match value {
        Value::Array(array) if key.starts_with(&scope) && is_per_layer(array) => {
            Some((key.to_owned(), Value::Array(array.pick(kept))))
        }
        _ => None,
    });
    for (key, value) in arrays.collect::<Vec<_>>() {
        file.metadata.insert(key, value);
    }
    set(file, "block_count", kept.len())
}

/// Of a gate and an up projection the rows, twice as many where a tensor holds both; of a down projection the columns.
fn channels_of(
    part: &Part<'_>,
    info: &TensorInfo,
    kept: &Arc<[usize]>,
    channels: usize,
) -> Selection {
    let rows = info.shape.first().copied().unwrap_or(0);
    match part.name {
        "ffn_gate" | "ffn_up" if rows == 2 * channels => {
            let second = kept.iter().map(|channel| channel + channels);
            let both = kept.iter().copied().chain(second);
            (Some(both.collect()), None)
        }
        "ffn_gate" | "ffn_up" => (Some(Arc::clone(kept)), None),
        "ffn_down" if part.is_weight => (None, Some(Arc::clone(kept))),
        _ => (None, None),
    }
}

fn keep_heads(file: &mut ModelFile, shape: &Shape, kept: &[Arc<[usize]>]) -> Result<(), CutError> {
    let (sharing, head_dim) = (shape.sharing()?, shape.spec.head_dim);
    let fused = |name: &str| Part::of(name).is_some_and(|part| part.name == "attn_qkv");
    if file.weights.names().any(fused) {
        return Err(CutError::Unfit(
            "its queries, keys and values are one tensor; heads go only where they are three",
        ));
    }
    // The places of each key/value head's own values, and of those of the queries that read it.
    let places = |layer: usize, values: usize| -> Arc<[usize]> {
        let heads = kept[layer].iter();
        heads
            .flat_map(|head| head * values..(head + 1) * values)
            .collect()
    };
    let rows = [shape.spec.heads, shape.spec.kv_heads].map(|heads| heads * head_dim);
    cut_layers(file, |part, info| {
        let values = |of_queries: bool| if of_queries { sharing } else { 1 } * head_dim;
        let first = info.shape.first().copied().unwrap_or(0);
        match part.name {
            "attn_q" => (Some(places(part.layer, values(true))), None),
            "attn_k" | "attn_v" => (Some(places(part.layer, values(false))), None),
            "attn_output" if part.is_weight => (None, Some(places(part.layer, values(true)))),
            // Norms over all heads of a token; those of one head stay.
            "attn_q_norm" if first == rows[0] && first > head_dim => {
                (Some(places(part.layer, values(true))), None)
            }
            "attn_k_norm" if first == rows[1] && first > head_dim => {
                (Some(places(part.layer, values(false))), None)
            }
            _ => (None, None),
        }
    })?;
    let count = kept[0].len();
    set(file, "attention.head_count", count * sharing)?;
    set(file, "attention.head_count_kv", count)?;
    // Without these, readers divide the width by the number of heads.
    set(file, "attention.key_length", head_dim)?;
    set(file, "attention.value_length", head_dim)?;
    if file
        .metadata
        .scoped()?
        .value("rope.dimension_count")
        .is_none()
    {
        set(file, "rope.dimension_count", head_dim)?;
    }
    Ok(())
}
