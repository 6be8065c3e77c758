//! `tojson`: Python's `json.dumps`.

use std::fmt::Write;

use super::error::{Fault, Outcome, fault};
use super::python;
use super::value::Value;

/// The arguments of `json.dumps` that `apply_chat_template` passes on.
#[derive(Debug)]
pub(super) struct Style {
    pub(super) indent: Option<String>,
    pub(super) item_separator: String,
    pub(super) key_separator: String,
    pub(super) ensure_ascii: bool,
    pub(super) sort_keys: bool,
}

/// Writes a value whose weight has been paid for; `spend` pays for indentation.
pub(super) fn dumps(
    value: &Value,
    style: &Style,
    spend: &mut dyn FnMut(usize) -> Outcome<()>,
) -> Outcome<String> {
    let mut writer = Writer {
        style,
        spend,
        level: 0,
        out: String::new(),
    };
    writer.value(value)?;
    Ok(writer.out)
}

struct Writer<'w> {
    style: &'w Style,
    spend: &'w mut dyn FnMut(usize) -> Outcome<()>,
    level: usize,
    out: String,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value) -> Outcome<()> {
        match value {
            Value::None => self.out.push_str("null"),
            Value::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Value::Int(value) => self.out.push_str(&value.to_string()),
            Value::Float(value) => self.out.push_str(&float(*value)),
            Value::Str(text) => self.string(text),
            Value::List(sequence) | Value::Tuple(sequence) => self.list(&sequence.items)?,
            Value::Dict(dict) => self.dict(&dict.entries)?,
            other => {
                return fault!(
                    "Object of type {} is not JSON serializable",
                    other.type_name()
                );
            }
        }
        Ok(())
    }

    fn list(&mut self, items: &[Value]) -> Outcome<()> {
        if items.is_empty() {
            self.out.push_str("[]");
            return Ok(());
        }
        self.out.push('[');
        self.level += 1;
        for (index, item) in items.iter().enumerate() {
            self.separate(index)?;
            self.value(item)?;
        }
        self.close(']')
    }

    fn dict(&mut self, entries: &[(Value, Value)]) -> Outcome<()> {
        if entries.is_empty() {
            self.out.push_str("{}");
            return Ok(());
        }
        let mut ordered: Vec<&(Value, Value)> = entries.iter().collect();
        if self.style.sort_keys {
            ordered = python::sorted(ordered, &|entry| &entry.0, false)?;
        }
        self.out.push('{');
        self.level += 1;
        for (index, (key, value)) in ordered.into_iter().enumerate() {
            self.separate(index)?;
            self.key(key)?;
            self.out.push_str(&self.style.key_separator);
            self.value(value)?;
        }
        self.close('}')
    }

    fn key(&mut self, key: &Value) -> Outcome<()> {
        match key {
            Value::Str(text) => self.string(text),
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                self.out.push('"');
                self.value(key)?;
                self.out.push('"');
            }
            other => {
                return fault!(
                    "keys must be str, int, float, bool or None, not {}",
                    other.type_name()
                );
            }
        }
        Ok(())
    }

    fn separate(&mut self, index: usize) -> Outcome<()> {
        if index > 0 {
            self.out.push_str(&self.style.item_separator);
        }
        self.new_line()
    }

    fn close(&mut self, bracket: char) -> Outcome<()> {
        self.level -= 1;
        self.new_line()?;
        self.out.push(bracket);
        Ok(())
    }

    fn new_line(&mut self) -> Outcome<()> {
        let separators = self.style.item_separator.len() + self.style.key_separator.len();
        let indent = self.style.indent.as_deref();
        let width = indent.map_or(0, |indent| indent.len().saturating_mul(self.level));
        (self.spend)(width.saturating_add(separators))?;
        if let Some(indent) = indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(indent, self.level));
        }
        Ok(())
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\x08' => self.out.push_str("\\b"),
                '\x0c' => self.out.push_str("\\f"),
                c if c < ' ' || (self.style.ensure_ascii && c > '~') => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

fn float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_string()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_string()
    } else {
        python::float(value)
    }
}

impl Style {
    /// Reads `indent`, `separators`, `ensure_ascii` and `sort_keys`.
    pub(super) fn new(
        indent: &Value,
        separators: &Value,
        ensure_ascii: bool,
        sort_keys: bool,
    ) -> Outcome<Self> {
        let indent = match indent {
            Value::None => None,
            Value::Str(text) => Some(text.to_string()),
            other => match other.as_int() {
                Some(width) => Some(" ".repeat(usize::try_from(width).unwrap_or(0).min(1024))),
                None => return fault!("indent must be a number or a string"),
            },
        };
        let (item_separator, key_separator) = match separators {
            Value::None if indent.is_some() => (",".to_string(), ": ".to_string()),
            Value::None => (", ".to_string(), ": ".to_string()),
            Value::List(pair) | Value::Tuple(pair) if pair.items.len() == 2 => {
                let text = |item| python::text(item).to_string();
                (text(&pair.items[0]), text(&pair.items[1]))
            }
            _ => {
                return Err(Fault::Other(
                    "separators must be a pair of strings".to_string(),
                ));
            }
        };
        Ok(Self {
            indent,
            item_separator,
            key_separator,
            ensure_ascii,
            sort_keys,
        })
    }
}
