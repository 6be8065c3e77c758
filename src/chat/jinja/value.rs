//! Values as templates see them: Python's.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::ast::Macro;
use super::error::{Fault, Outcome, fault};
use super::text::Text;

/// The greatest depth of nested containers.
const MAX_VALUE_DEPTH: usize = 130;

/// A value. Containers are immutable and shared; only namespaces change.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Not there, and under which name it was looked for.
    Undefined(Arc<str>),
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Text),
    List(Rc<Sequence>),
    Tuple(Rc<Sequence>),
    Dict(Rc<Dict>),
    Namespace(Rc<Namespace>),
    Loop(Rc<Loop>),
    /// A macro and the number of scopes it sees.
    Macro(Arc<Macro>, usize),
    /// A global function, or a method that is named and not called.
    Function(Arc<str>),
}

/// The items of a list or tuple.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) items: Vec<Value>,
    size: Size,
}

/// The entries of a dict in order of insertion, keys distinct.
#[derive(Debug)]
pub(super) struct Dict {
    pub(super) entries: Vec<(Value, Value)>,
    size: Size,
}

/// What `namespace()` makes: attributes that `{% set ns.name = … %}` changes.
#[derive(Debug, Default)]
pub(super) struct Namespace {
    pub(super) attributes: RefCell<Vec<(Arc<str>, Value)>>,
}

/// The state of a loop, as its `loop` variable shows it.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) index: usize,
    pub(super) items: Rc<Sequence>,
}

/// How deep a container is, how many values it has when expanded (shared ones counted every time), and how many
/// entries its largest dict has.
#[derive(Clone, Copy, Debug)]
struct Size {
    depth: usize,
    weight: u64,
    widest: u64,
}

impl Size {
    fn of<'v>(values: impl Iterator<Item = &'v Value>) -> Outcome<Self> {
        let mut size = Self {
            depth: 1,
            weight: 1,
            widest: 0,
        };
        for value in values {
            if matches!(value, Value::Namespace(_) | Value::Loop(_)) {
                return fault!("a namespace or loop cannot be kept inside another value");
            }
            size.depth = size.depth.max(value.size().depth + 1);
            size.weight = size.weight.saturating_add(value.size().weight);
            size.widest = size.widest.max(value.size().widest);
        }
        if size.depth > MAX_VALUE_DEPTH {
            return Err(Fault::Depth);
        }
        Ok(size)
    }
}

impl Sequence {
    pub(super) fn new(items: Vec<Value>) -> Outcome<Rc<Self>> {
        let size = Size::of(items.iter())?;
        Ok(Rc::new(Self { items, size }))
    }
}

impl Dict {
    /// Entries whose keys are known to be distinct.
    pub(super) fn new(entries: Vec<(Value, Value)>) -> Outcome<Rc<Self>> {
        let mut size = Size::of(entries.iter().flat_map(|(key, value)| [key, value]))?;
        size.widest = size.widest.max(entries.len() as u64);
        Ok(Rc::new(Self { entries, size }))
    }

    /// The value of a text key.
    pub(super) fn get_str(&self, name: &str) -> Option<&Value> {
        let found = self
            .entries
            .iter()
            .find(|(key, _)| matches!(key, Value::Str(key) if **key == *name));
        found.map(|(_, value)| value)
    }
}

impl Namespace {
    pub(super) fn get(&self, name: &str) -> Option<Value> {
        let attributes = self.attributes.borrow();
        attributes
            .iter()
            .find(|(key, _)| **key == *name)
            .map(|(_, value)| value.clone())
    }

    pub(super) fn set(&self, name: &Arc<str>, value: Value) -> Outcome<()> {
        if matches!(value, Value::Namespace(_) | Value::Loop(_)) {
            return fault!("a namespace or loop cannot be kept inside another value");
        }
        let mut attributes = self.attributes.borrow_mut();
        match attributes.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => attributes.push((name.clone(), value)),
        }
        Ok(())
    }
}

impl Value {
    /// A text of the template's own.
    pub(super) fn own(text: impl Into<Arc<str>>) -> Self {
        Self::Str(Text::own(text))
    }

    pub(super) fn undefined(name: impl Into<Arc<str>>) -> Self {
        Self::Undefined(name.into())
    }

    pub(super) fn list(items: Vec<Value>) -> Outcome<Self> {
        Sequence::new(items).map(Self::List)
    }

    pub(super) fn tuple(items: Vec<Value>) -> Outcome<Self> {
        Sequence::new(items).map(Self::Tuple)
    }

    pub(super) fn dict(entries: Vec<(Value, Value)>) -> Outcome<Self> {
        Dict::new(entries).map(Self::Dict)
    }

    /// JSON's values, whose texts are made by `text`; integers beyond 64 bits become floats.
    pub(super) fn from_json(json: &Json, text: fn(&str) -> Text) -> Outcome<Self> {
        Ok(match json {
            Json::Null => Self::None,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(value) => Self::Int(value),
                None => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(string) => Self::Str(text(string)),
            Json::Array(items) => {
                let items = items.iter().map(|item| Self::from_json(item, text));
                Self::list(items.collect::<Outcome<_>>()?)?
            }
            Json::Object(fields) => Self::from_fields(fields, text)?,
        })
    }

    fn from_fields(fields: &Map<String, Json>, text: fn(&str) -> Text) -> Outcome<Self> {
        let entry = |(key, value): (&String, &Json)| {
            Ok((Self::Str(text(key)), Self::from_json(value, text)?))
        };
        Self::dict(fields.iter().map(entry).collect::<Outcome<_>>()?)
    }

    /// Whether it, or anything in it, is text from outside the template. Callers have paid for the weight.
    pub(super) fn has_foreign(&self) -> bool {
        match self {
            Self::Str(text) => text.has_foreign(),
            Self::List(sequence) | Self::Tuple(sequence) => {
                sequence.items.iter().any(Self::has_foreign)
            }
            Self::Dict(dict) => {
                let mut entries = dict.entries.iter();
                entries.any(|(key, value)| key.has_foreign() || value.has_foreign())
            }
            _ => false,
        }
    }

    fn size(&self) -> Size {
        match self {
            Self::List(sequence) | Self::Tuple(sequence) => sequence.size,
            Self::Dict(dict) => dict.size,
            Self::Str(text) => Size {
                depth: 0,
                weight: 1 + text.len() as u64 / 16,
                widest: 0,
            },
            _ => Size {
                depth: 0,
                weight: 1,
                widest: 0,
            },
        }
    }

    /// The steps that walking the whole value takes.
    pub(super) fn weight(&self) -> u64 {
        self.size().weight
    }

    /// The steps that comparing the whole value with another takes: dicts look each key up among the other's.
    pub(super) fn comparison_weight(&self) -> u64 {
        let size = self.size();
        size.weight.saturating_mul(1 + size.widest / 8)
    }

    /// Python's truth.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Undefined(_) | Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::List(sequence) | Self::Tuple(sequence) => !sequence.items.is_empty(),
            Self::Dict(dict) => !dict.entries.is_empty(),
            Self::Namespace(_) | Self::Loop(_) | Self::Macro(..) | Self::Function(_) => true,
        }
    }

    /// Python's name of the type, for messages.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined(_) => "Undefined",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::Namespace(_) => "Namespace",
            Self::Loop(_) => "LoopContext",
            Self::Macro(..) => "Macro",
            Self::Function(_) => "function",
        }
    }

    /// The number that arithmetic sees: booleans are 0 and 1.
    pub(super) fn as_int(&self) -> Option<i64> {
        match self {
            Self::Bool(value) => Some(i64::from(*value)),
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The number as a float.
    pub(super) fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            _ => self.as_int().map(|value| value as f64),
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The items that a loop over the value sees: characters of a string, keys of a dict.
    pub(super) fn items(&self) -> Outcome<Vec<Value>> {
        Ok(match self {
            Self::Undefined(_) => Vec::new(),
            Self::List(sequence) | Self::Tuple(sequence) => sequence.items.clone(),
            Self::Dict(dict) => dict.entries.iter().map(|(key, _)| key.clone()).collect(),
            Self::Str(text) => text
                .char_indices()
                .map(|(at, c)| Self::Str(text.part(&text[at..at + c.len_utf8()])))
                .collect(),
            other => return fault!("'{}' object is not iterable", other.type_name()),
        })
    }

    /// Python's `len`.
    pub(super) fn len(&self) -> Outcome<usize> {
        Ok(match self {
            Self::Undefined(_) => 0,
            Self::List(sequence) | Self::Tuple(sequence) => sequence.items.len(),
            Self::Dict(dict) => dict.entries.len(),
            Self::Str(text) => text.chars().count(),
            other => return fault!("object of type '{}' has no len()", other.type_name()),
        })
    }
}
