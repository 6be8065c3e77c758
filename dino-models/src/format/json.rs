//! JSON files as [`Metadata`]: objects inside objects become keys with dots.

use super::{FormatError, Metadata, Value};
use dino_core::CoreError;
use serde_json::Value as Json;
use std::path::Path;

/// The most bytes of a configuration.
const MAX_CONFIG: u64 = 16 << 20;
/// The most bytes of all keys: one with dots repeats those that it lies in, so a small file could make many.
const MAX_NAMES: usize = 4 << 20;

/// Reads a JSON file of at most `limit` bytes.
///
/// # Errors
/// If it cannot be read, is larger, or is not JSON.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Json, FormatError> {
    parse(&bytes(path, limit)?).map_err(|source| FormatError::Header {
        file: path.into(),
        source,
    })
}

/// Reads a text file of at most `limit` bytes.
///
/// # Errors
/// If it cannot be read, is larger, or is not UTF-8.
pub(crate) fn text(path: &Path, limit: u64) -> Result<String, FormatError> {
    String::from_utf8(bytes(path, limit)?).map_err(|error| FormatError::NotUtf8 {
        file: path.into(),
        reading: "the text".into(),
        offset: error.utf8_error().valid_up_to(),
    })
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// If it cannot be read or is larger.
pub(crate) fn bytes(path: &Path, limit: u64) -> Result<Vec<u8>, FormatError> {
    let io = |source| {
        FormatError::Open(CoreError::Io {
            path: path.into(),
            source,
        })
    };
    let size = std::fs::metadata(path).map_err(io)?.len();
    if size > limit {
        return Err(FormatError::TooMany {
            file: path.into(),
            reading: "the file".into(),
            offset: 0,
            claimed: size,
            unit: "bytes",
            possible: usize::try_from(limit).unwrap_or(usize::MAX),
        });
    }
    std::fs::read(path).map_err(io)
}

/// Parses JSON as Python writes it: with the numbers `Infinity`, `-Infinity` and `NaN`, which become strings.
pub(crate) fn parse(text: &[u8]) -> Result<Json, serde_json::Error> {
    serde_json::from_slice(text).or_else(|error| match quote_numbers(text) {
        Some(quoted) => serde_json::from_slice(&quoted),
        None => Err(error),
    })
}

/// Python's words for numbers that JSON cannot say, put in quotes; `None` if there are none.
fn quote_numbers(text: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let (mut quoted, mut rest) = (Vec::with_capacity(text.len()), text);
    let (mut inside, mut found) = (false, false);
    while let [byte, tail @ ..] = rest {
        let word = WORDS.iter().find(|word| !inside && rest.starts_with(word));
        if let Some(word) = word {
            quoted.push(b'"');
            quoted.extend_from_slice(word);
            quoted.push(b'"');
            (rest, found) = (rest.get(word.len()..)?, true);
            continue;
        }
        quoted.push(*byte);
        rest = tail;
        match byte {
            b'"' => inside = !inside,
            b'\\' if inside => {
                let (escaped, tail) = rest.split_first()?;
                quoted.push(*escaped);
                rest = tail;
            }
            _ => {}
        }
    }
    found.then_some(quoted)
}

/// The configuration in the JSON file `path`. What it holds inside `rope_scaling` is found as `rope_scaling.factor`;
/// elements of a list that are not all of one kind as `list.0`. A `null` is no value.
///
/// # Errors
/// If the file cannot be read or is not a JSON object.
pub(crate) fn metadata(path: &Path) -> Result<Metadata, FormatError> {
    let mut metadata = Metadata::new(path);
    let json = read(path, MAX_CONFIG)?;
    let Json::Object(entries) = &json else {
        return Err(FormatError::WrongType {
            file: path.into(),
            key: String::new(),
            expected: "an object".into(),
            found: "another JSON value".into(),
        });
    };
    let mut names = MAX_NAMES;
    for (key, value) in entries {
        if insert(&mut metadata, key, value, &mut names).is_none() {
            return Err(FormatError::TooMany {
                file: path.into(),
                reading: format!("the names inside `{key:.80}`"),
                offset: 0,
                claimed: MAX_NAMES as u64 + 1,
                unit: "bytes and more",
                possible: MAX_NAMES,
            });
        }
    }
    Ok(metadata)
}

/// Inserts a value and what is inside it; `None` if their keys take more than `left` bytes.
fn insert(metadata: &mut Metadata, key: &str, json: &Json, left: &mut usize) -> Option<()> {
    *left = left.checked_sub(key.len())?;
    if let Some(value) = value(json) {
        metadata.insert(key, value);
        return Some(());
    }
    match json {
        Json::Object(entries) => {
            for (name, entry) in entries {
                // How transformers 5 writes what JSON cannot say.
                match (name.as_str(), value(entry)) {
                    ("__float__", Some(number)) => metadata.insert(key, number),
                    _ => insert(metadata, &format!("{key}.{name}"), entry, left)?,
                }
            }
        }
        Json::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                insert(metadata, &format!("{key}.{index}"), element, left)?;
            }
        }
        _ => {}
    }
    Some(())
}

/// A scalar, or a list of scalars of one kind.
fn value(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Bool(x) => (*x).into(),
        Json::String(text) => text
            .parse()
            .ok()
            .filter(|x: &f64| !x.is_finite() && text.ends_with(['y', 'N']))
            .map_or_else(|| text.as_str().into(), Value::F64),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(x), _) => x.into(),
            (_, Some(x)) => x.into(),
            _ => number.as_f64()?.into(),
        },
        Json::Array(elements) => array(elements)?,
        Json::Null | Json::Object(_) => return None,
    })
}

fn array(elements: &[Json]) -> Option<Value> {
    fn all<'a, T>(elements: &'a [Json], read: impl Fn(&'a Json) -> Option<T>) -> Option<Vec<T>> {
        elements.iter().map(read).collect()
    }
    if let Some(texts) = all(elements, Json::as_str) {
        return Some(texts.into());
    }
    if let Some(bools) = all(elements, Json::as_bool) {
        return Some(bools.into());
    }
    if let Some(integers) = all(elements, Json::as_i64) {
        return Some(integers.into());
    }
    all(elements, Json::as_f64).map(Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(text: &str) -> Metadata {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        metadata(file.path()).unwrap()
    }

    #[test]
    fn objects_become_keys_with_dots() {
        let config = flat(
            r#"{"a": 1, "b": {"c": 2.5, "d": [1, 2.5], "e": {"f": "x"}}, "g": null, "h": [[1], {"i": true}],
                "j": ["x", "y"]}"#,
        );
        assert_eq!(config.get::<usize>("a").unwrap(), 1);
        assert_eq!(config.get::<f32>("b.c").unwrap(), 2.5);
        assert_eq!(config.get::<Vec<f32>>("b.d").unwrap(), [1.0, 2.5]);
        assert_eq!(config.get::<&str>("b.e.f").unwrap(), "x");
        assert_eq!(config.get::<Vec<u8>>("h.0").unwrap(), [1]);
        assert!(config.get::<bool>("h.1.i").unwrap());
        assert_eq!(config.unread().collect::<Vec<_>>(), ["j"]);
        assert!(!config.contains("g"));
    }

    #[test]
    fn what_python_says_of_numbers_is_understood() {
        let config = flat(
            r#"{"limit": [0.0, Infinity], "low": -Infinity, "text": "NaN \" NaN", "new": {"__float__": "Infinity"}}"#,
        );
        assert_eq!(config.get::<f32>("limit.1").unwrap(), f32::INFINITY);
        assert_eq!(config.get::<f32>("low").unwrap(), f32::NEG_INFINITY);
        assert_eq!(config.get::<f32>("new").unwrap(), f32::INFINITY);
        assert_eq!(config.get::<&str>("text").unwrap(), "NaN \" NaN");
    }
}
