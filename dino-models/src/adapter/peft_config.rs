//! `adapter_config.json`: what PEFT says of an adapter.
//!
//! Reference: `LoraConfig` of `peft`. What changes numbers in a way that is not implemented here is an error that names
//! it, and so is a key that is not known, unless it is off (null, false, 0, empty), as keys of later versions are where
//! nobody uses them.

use crate::ModelError;
use crate::format::{FormatError, json};
use regex_automata::meta::Regex;
use serde_json::{Map, Value as Json};
use std::path::{Path, PathBuf};

/// The most bytes of a configuration.
const MAX_CONFIG: u64 = 1 << 20;
/// The most bytes of a compiled pattern.
const MAX_PATTERN: usize = 1 << 20;

/// Keys that say how the adapter was trained, or what its tensors show too.
const INERT: [&str; 20] = [
    "peft_version",
    "task_type",
    "auto_mapping",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "lora_dropout",
    "fan_in_fan_out",
    "megatron_config",
    "megatron_core",
    "ensure_weight_tying",
    "eva_config",
    "corda_config",
    "loftq_config",
    "lora_ga_config",
    "qalora_group_size",
];

/// Ways to begin training that change the weights of the base, so that the adapter is nothing without them.
const CHANGES_BASE: [&str; 5] = ["pissa", "corda", "olora", "loftq", "lora_ga"];

/// Ranks and scales of an adapter's layers.
pub(super) struct PeftConfig {
    rank: usize,
    alpha: f64,
    ranks: Vec<(Pattern, usize)>,
    alphas: Vec<(Pattern, f64)>,
    /// Whether scales are `alpha / √rank`: Kalajdzievski, rsLoRA, arXiv:2312.03732.
    is_stabilized: bool,
}

impl PeftConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// If it is damaged, is that of no LoRA, or says something that is not supported.
    pub(super) fn read(path: &Path) -> Result<Self, ModelError> {
        let json = json::read(path, MAX_CONFIG)?;
        let keys = json.as_object().cloned().ok_or_else(|| {
            let (expected, found) = ("an object".into(), kind(&json).into());
            FormatError::WrongType {
                file: path.into(),
                key: String::new(),
                expected,
                found,
            }
        })?;
        let mut keys = Keys {
            file: path.into(),
            keys,
        };
        keys.only("peft_type", |value| value == "LORA")?;
        keys.only("bias", |value| value == "none")?;
        keys.only("init_lora_weights", |value| {
            let text = value.as_str().unwrap_or_default();
            !CHANGES_BASE.iter().any(|start| text.starts_with(start))
        })?;
        let config = Self {
            rank: keys.number("r")?,
            alpha: keys.number("lora_alpha")?,
            ranks: keys.patterns("rank_pattern")?,
            alphas: keys.patterns("alpha_pattern")?,
            is_stabilized: keys.take("use_rslora") == Some(Json::Bool(true)),
        };
        keys.finish()?;
        Ok(config)
    }

    /// The rank of a module, which is called as in the base model.
    pub(super) fn rank(&self, module: &str) -> usize {
        first(&self.ranks, module).unwrap_or(self.rank)
    }

    /// What the product of the module's matrices is multiplied by.
    pub(super) fn scale(&self, module: &str) -> f64 {
        let alpha = first(&self.alphas, module).unwrap_or(self.alpha);
        let rank = self.rank(module) as f64;
        match self.is_stabilized {
            true => alpha / rank.sqrt(),
            false => alpha / rank,
        }
    }
}

/// A name of modules, or the ends of names, as PEFT matches them.
struct Pattern {
    text: String,
    regex: Regex,
}

/// The value of the first pattern that fits; a module's full name goes first.
fn first<T: Copy>(patterns: &[(Pattern, T)], module: &str) -> Option<T> {
    let fits = |pattern: &Pattern| pattern.regex.is_match(module);
    let found = patterns.iter().find(|(pattern, _)| fits(pattern));
    let exact = || patterns.iter().find(|(pattern, _)| pattern.text == module);
    found.or_else(exact).map(|&(_, value)| value)
}

/// The keys that were not read yet.
struct Keys {
    file: PathBuf,
    keys: Map<String, Json>,
}

impl Keys {
    fn take(&mut self, key: &str) -> Option<Json> {
        self.keys.remove(key)
    }

    /// A key that may be missing or say what is `allowed`.
    fn only(&mut self, key: &str, allowed: impl Fn(&Json) -> bool) -> Result<(), ModelError> {
        match self.take(key) {
            Some(value) if !allowed(&value) => Err(self.unsupported(key, &value)),
            _ => Ok(()),
        }
    }

    fn number<T: Number>(&mut self, key: &str) -> Result<T, ModelError> {
        let value = self.take(key).ok_or_else(|| FormatError::MissingKey {
            file: self.file.clone(),
            key: key.into(),
        })?;
        self.read(key, &value)
    }

    fn read<T: Number>(&self, key: &str, value: &Json) -> Result<T, ModelError> {
        let read = T::read(value);
        read.ok_or_else(|| self.wrong(key, T::EXPECTED, value).into())
    }

    /// Numbers by patterns of names.
    fn patterns<T: Number>(&mut self, key: &str) -> Result<Vec<(Pattern, T)>, ModelError> {
        let entries = match self.take(key) {
            None | Some(Json::Null) => return Ok(Vec::new()),
            Some(Json::Object(entries)) => entries,
            Some(other) => return Err(self.wrong(key, "an object", &other).into()),
        };
        let pair = |(text, value): (&String, &Json)| {
            let config = Regex::config().nfa_size_limit(Some(MAX_PATTERN));
            let regex = Regex::builder()
                .configure(config)
                .build(&format!(r"^(?:.*\.)?(?:{text})$"));
            let name = format!("{key}.{text:.80}");
            let regex = regex
                .map_err(|_| self.wrong(key, "patterns of names", &Json::from(text.as_str())))?;
            let text = text.clone();
            Ok((Pattern { text, regex }, self.read(&name, value)?))
        };
        entries.iter().map(pair).collect()
    }

    /// Makes sure that nothing else is asked for.
    fn finish(mut self) -> Result<(), ModelError> {
        for key in INERT {
            self.take(key);
        }
        let on = self.keys.iter().find(|(_, value)| !is_off(value));
        match on {
            Some((key, value)) => Err(self.unsupported(key, value)),
            None => Ok(()),
        }
    }

    fn unsupported(&self, key: &str, value: &Json) -> ModelError {
        ModelError::Unsupported {
            file: self.file.clone(),
            key: key.into(),
            found: format!("{:.200}", value.to_string()),
        }
    }

    fn wrong(&self, key: &str, expected: &str, value: &Json) -> FormatError {
        FormatError::WrongType {
            file: self.file.clone(),
            key: key.into(),
            expected: expected.into(),
            found: match value {
                Json::Object(_) | Json::Array(_) => kind(value).into(),
                value => format!("{:.80}", value.to_string()),
            },
        }
    }
}

/// A number that a key may hold.
trait Number: Sized {
    const EXPECTED: &'static str;
    fn read(value: &Json) -> Option<Self>;
}

impl Number for usize {
    const EXPECTED: &'static str = "a rank from 1 to 65536";

    fn read(value: &Json) -> Option<Self> {
        let rank = Self::try_from(value.as_u64()?).ok()?;
        (1..=1 << 16).contains(&rank).then_some(rank)
    }
}

impl Number for f64 {
    const EXPECTED: &'static str = "a number";

    fn read(value: &Json) -> Option<Self> {
        value.as_f64().filter(|number| number.is_finite())
    }
}

/// Whether a key of this value asks for nothing.
fn is_off(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(false) => true,
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::String(text) => text.is_empty(),
        Json::Array(elements) => elements.is_empty(),
        Json::Object(entries) => entries.values().all(is_off),
        Json::Bool(true) => false,
    }
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Object(_) => "an object",
        Json::Array(_) => "a list",
        _ => "another JSON value",
    }
}
