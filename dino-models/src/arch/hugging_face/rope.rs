//! Rotary position embedding, as configurations of `transformers` 4 and 5 describe it.

use super::Translation;
use crate::ModelError;
use crate::format::FormatError;
use std::f64::consts::PI;

/// Where a kind of layer's rotation is described: an object for it in `rope_parameters`, `rope_parameters` itself, or
/// `rope_scaling` and keys beside it.
struct Place {
    /// The object before its keys, with a dot; empty for keys beside it.
    object: String,
}

/// Reads the base, the rotated part of a head and the scaling, of all layers or of those without a window, and the
/// base of layers with a window where it differs.
///
/// `rope.freq_base`, `rope.dimension_count`, `rope.freq_base_swa`, `rope.scaling.*`, and for the kinds `llama3` and
/// `longrope` the tensors that GGUF keeps for them.
pub(super) fn read(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    let global = find(translation, "full_attention");
    let (own_base, own_part) = translation.description.rotation;
    let missing = |key: &str| format!("{}{key}", global.object);
    let base = lookup(translation, &global, "rope_theta")?;
    let (key, base) = base.unwrap_or_else(|| (missing("rope_theta"), own_base));
    translation.set_from(&key, "rope.freq_base", base)?;
    let part = lookup(translation, &global, "partial_rotary_factor")?;
    let own_part = own_part.map(|part| (missing("partial_rotary_factor"), part));
    if let Some((key, part)) = part.or(own_part) {
        let size = head_dim(translation)?;
        // As Python truncates.
        let dim = (size as f64 * part) as usize;
        translation.set_from(&key, "rope.dimension_count", dim)?;
    }
    scaling(translation, &global)?;
    local(translation)
}

/// The base of layers with a window, which are never scaled.
fn local(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    let old = "rope_local_base_freq";
    let new = "rope_parameters.sliding_attention";
    if translation.config.has_object(new) {
        let kind: Option<&str> = translation.config.maybe(&format!("{new}.rope_type"))?;
        if let Some(kind) = kind.filter(|&kind| kind != "default") {
            return Err(translation.unsupported(&format!("{new}.rope_type"), kind));
        }
        let key = format!("{new}.rope_theta");
        let base: f64 = translation.config.get(&key)?;
        return translation.set_from(&key, "rope.freq_base_swa", base);
    }
    match translation.config.maybe::<f64>(old)? {
        Some(base) => translation.set_from(old, "rope.freq_base_swa", base),
        None => Ok(()),
    }
}

fn find(translation: &Translation<'_>, layers: &str) -> Place {
    let candidates = [
        format!("rope_parameters.{layers}."),
        "rope_parameters.".to_owned(),
        "rope_scaling.".to_owned(),
    ];
    let there = |object: &String| translation.config.has_object(object.trim_end_matches('.'));
    let object = candidates.into_iter().find(there).unwrap_or_default();
    Place { object }
}

/// The number `key` of the place, or beside it; and the name that it was found under.
fn lookup(
    translation: &Translation<'_>,
    place: &Place,
    key: &str,
) -> Result<Option<(String, f64)>, FormatError> {
    for name in [format!("{}{key}", place.object), key.to_owned()] {
        if let Some(value) = translation.config.maybe(&name)? {
            return Ok(Some((name, value)));
        }
    }
    Ok(None)
}

/// Values of a head.
fn head_dim(translation: &Translation<'_>) -> Result<usize, ModelError> {
    if let Some(size) = translation.config.maybe("head_dim")? {
        return Ok(size);
    }
    let hidden: usize = translation.config.get("hidden_size")?;
    let heads: usize = translation.config.get("num_attention_heads")?;
    Ok(hidden / heads.max(1))
}

fn scaling(translation: &mut Translation<'_>, place: &Place) -> Result<(), ModelError> {
    let mut kind = ("", "default");
    for name in ["type", "rope_type"] {
        let full = format!("{}{name}", place.object);
        if let Some(value) = translation.config.maybe(&full)?
            && !place.object.is_empty()
        {
            kind = (name, value);
        }
    }
    let (name, kind) = kind;
    let name = format!("{}{name}", place.object);
    match kind {
        "default" => Ok(()),
        "linear" | "dynamic" | "yarn" => {
            translation.set_from(&name, "rope.scaling.type", kind)?;
            numbers(translation, place)
        }
        "longrope" | "su" => {
            translation.set_from(&name, "rope.scaling.type", "longrope")?;
            numbers(translation, place)?;
            for (theirs, ours) in [
                ("short_factor", "rope_factors_short.weight"),
                ("long_factor", "rope_factors_long.weight"),
            ] {
                let factors: Vec<f32> = translation
                    .config
                    .get(&format!("{}{theirs}", place.object))?;
                translation.add_vector(ours, &factors)?;
            }
            Ok(())
        }
        "llama3" => llama3(translation, place),
        other => Err(translation.unsupported(&name, other)),
    }
}

/// The numbers of a scaling, under the keys that llama.cpp's converter gives them.
fn numbers(translation: &mut Translation<'_>, place: &Place) -> Result<(), ModelError> {
    const NUMBERS: [(&str, &str); 7] = [
        ("factor", "rope.scaling.factor"),
        ("attention_factor", "rope.scaling.attn_factor"),
        ("extrapolation_factor", "rope.scaling.yarn_ext_factor"),
        ("beta_fast", "rope.scaling.yarn_beta_fast"),
        ("beta_slow", "rope.scaling.yarn_beta_slow"),
        ("mscale", "rope.scaling.yarn_mscale"),
        ("mscale_all_dim", "rope.scaling.yarn_mscale_all_dim"),
    ];
    for (theirs, ours) in NUMBERS {
        let key = format!("{}{theirs}", place.object);
        if let Some(value) = translation.config.maybe::<f64>(&key)? {
            translation.set_from(&key, ours, value)?;
        }
    }
    let truncate = format!("{}truncate", place.object);
    if let Some(value) = translation.config.maybe::<bool>(&truncate)? {
        translation.set_from(&truncate, "rope.scaling.yarn_truncate", value)?;
    }
    let original = "original_max_position_embeddings";
    let inside = lookup(translation, place, original)?;
    // Of two the one beside the object counts.
    let beside = translation.config.maybe::<f64>(original)?;
    let beside = beside.map(|value| (original.to_owned(), value));
    if let Some((key, value)) = beside.or(inside) {
        let ours = "rope.scaling.original_context_length";
        translation.set_from(&key, ours, value as u64)?;
    }
    Ok(())
}

/// Llama 3.1's scaling, as factors that divide the frequencies: what GGUF files keep as `rope_freqs.weight`.
fn llama3(translation: &mut Translation<'_>, place: &Place) -> Result<(), ModelError> {
    let number = |translation: &Translation<'_>, key: &str| -> Result<f64, ModelError> {
        let key = format!("{}{key}", place.object);
        let value: f64 = translation.config.get(&key)?;
        if value.is_finite() && value > 0.0 {
            return Ok(value);
        }
        Err(translation.impossible(&key, &value.to_string(), "a positive number"))
    };
    let factor = number(translation, "factor")?;
    let low = number(translation, "low_freq_factor")?;
    let high = number(translation, "high_freq_factor")?;
    let original = number(translation, "original_max_position_embeddings")?;
    let base = lookup(translation, place, "rope_theta")?.map_or(10_000.0, |(_, base)| base);
    if high <= low {
        let key = format!("{}high_freq_factor", place.object);
        let expected = format!("more than low_freq_factor {low}");
        return Err(translation.impossible(&key, &high.to_string(), &expected));
    }
    let size = head_dim(translation)?.min(1 << 16);
    let factors = (0..size / 2).map(|pair| {
        let wavelength = 2.0 * PI * base.powf(2.0 * pair as f64 / size as f64);
        if wavelength < original / high {
            1.0
        } else if wavelength > original / low {
            factor as f32
        } else {
            let smooth = (original / wavelength - low) / (high - low);
            (1.0 / ((1.0 - smooth) / factor + smooth)) as f32
        }
    });
    let factors: Vec<f32> = factors.collect();
    translation.add_vector("rope_freqs.weight", &factors)
}
