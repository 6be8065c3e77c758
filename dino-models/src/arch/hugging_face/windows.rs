//! Which layers see how far back.

use super::Translation;
use crate::ModelError;
use crate::format::StringArray;

/// Which layers have the window of `sliding_window` where a configuration does not list them by `layer_types`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Windows {
    /// None: a window in the configuration is an error.
    None,
    /// All of them.
    All,
    /// All but the last of each run of so many; of `sliding_window_pattern`, where that is there.
    AllButEvery(usize),
    /// Those from `max_window_layers` on, if `use_sliding_window` is true.
    FromLayer,
}

const WINDOW: &str = "sliding_window";
const TYPES: &str = "layer_types";

/// `attention.sliding_window`, and `attention.sliding_window_pattern` (a bool a layer: whether it has the window) where
/// the layers with a window are others than the architecture's own.
pub(super) fn read(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    let layers: usize = translation.config.get("num_hidden_layers")?;
    let own = translation.description.windows;
    let listed = listed(translation, layers)?;
    let is_listed = listed.is_some();
    // A list goes before a rule, whose keys then change nothing.
    let by_rule = by_rule(translation, own, layers)?;
    let windowed = listed.unwrap_or(by_rule);
    if own == Windows::None && !windowed.contains(&true) {
        // Nothing uses a window: a key that claims one is an error, as nobody reads it.
        return Ok(());
    }
    let window = translation.config.maybe::<usize>(WINDOW)?;
    if !windowed.contains(&true) {
        return Ok(());
    }
    let Some(window) = window else {
        return match own {
            // Without a window these see everything.
            Windows::All if !is_listed => Ok(()),
            _ => {
                Err(translation.impossible(WINDOW, "missing", "the window of layers that have one"))
            }
        };
    };
    translation.set_from(WINDOW, "attention.sliding_window", window)?;
    let regular = match own {
        Windows::All => !windowed.contains(&false),
        Windows::AllButEvery(period) => windowed == all_but_every(period, layers),
        Windows::None | Windows::FromLayer => false,
    };
    if !regular {
        let key = if is_listed { TYPES } else { WINDOW };
        translation.set_from(key, "attention.sliding_window_pattern", windowed)?;
    }
    Ok(())
}

fn all_but_every(period: usize, layers: usize) -> Vec<bool> {
    (1..=layers).map(|n| !n.is_multiple_of(period)).collect()
}

/// What `layer_types` says of each layer.
fn listed(translation: &Translation<'_>, layers: usize) -> Result<Option<Vec<bool>>, ModelError> {
    let Some(types) = translation.config.maybe::<&StringArray>(TYPES)? else {
        return Ok(None);
    };
    if types.len() != layers {
        let found = format!("a list of {}", types.len());
        let expected = format!("one type for each of {layers} layers");
        return Err(translation.impossible(TYPES, &found, &expected));
    }
    let recurrent = translation.description.recurrent;
    let windowed = |kind: &[u8]| match kind {
        _ if recurrent.iter().any(|known| known.as_bytes() == kind) => Ok(false),
        b"full_attention" | b"attention" => Ok(false),
        b"sliding_attention" => Ok(true),
        _ => Err(translation.unsupported(TYPES, &String::from_utf8_lossy(kind))),
    };
    types
        .iter()
        .map(windowed)
        .collect::<Result<_, _>>()
        .map(Some)
}

/// Which layers have a window by the architecture's own rule.
fn by_rule(
    translation: &Translation<'_>,
    windows: Windows,
    layers: usize,
) -> Result<Vec<bool>, ModelError> {
    let config = &translation.config;
    Ok(match windows {
        Windows::None => vec![false; layers],
        Windows::All => vec![true; layers],
        Windows::AllButEvery(period) => {
            let names = ["sliding_window_pattern", "_sliding_window_pattern"];
            let mut found = period;
            for name in names {
                found = config.maybe(name)?.unwrap_or(found);
            }
            if found == 0 {
                return Err(translation.impossible(names[0], "0", "a number of layers"));
            }
            all_but_every(found, layers)
        }
        Windows::FromLayer => {
            let first: Option<usize> = config.maybe("max_window_layers")?;
            let used = config.maybe("use_sliding_window")?.unwrap_or(false);
            let from = first.filter(|_| used).unwrap_or(layers);
            (0..layers).map(|layer| layer >= from).collect()
        }
    })
}
