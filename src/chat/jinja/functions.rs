//! Global functions, and the formatting that `%`, `format` and `str.format` share.

use std::rc::Rc;

use super::arguments::{Args, expect_int, expect_str};
use super::budget::Budget;
use super::error::{Fault, Outcome, fault};
use super::interpreter::Interpreter;
use super::python;
use super::strftime;
use super::text::{Text, TextBuilder};
use super::value::{Namespace, Value};

/// Whether a global function has that name.
pub(super) fn is_function(name: &str) -> bool {
    [
        "range",
        "dict",
        "namespace",
        "raise_exception",
        "strftime_now",
    ]
    .contains(&name)
}

impl Interpreter {
    /// Calls a global function.
    pub(super) fn function(&mut self, name: &str, args: &Args) -> Outcome<Value> {
        match name {
            "range" => self.range(args),
            "dict" => {
                let pairs = self.pairs(args)?;
                self.distinct_dict(pairs)
            }
            "namespace" => {
                let namespace = Namespace::default();
                for (key, value) in self.pairs(args)? {
                    self.budget
                        .pay(1 + namespace.attributes.borrow().len() as u64 / 8)?;
                    namespace.set(expect_str(name, &key)?.shared(), value)?;
                }
                Ok(Value::Namespace(Rc::new(namespace)))
            }
            "raise_exception" => {
                let [message] = args.bind(name, [("message", None)])?;
                Err(Fault::Raised(self.text(&message)?.to_string()))
            }
            "strftime_now" => {
                let [pattern] = args.bind(name, [("format", None)])?;
                let pattern = expect_str(name, &pattern)?;
                self.budget.pay_bytes(pattern.len().saturating_mul(16))?;
                Ok(Value::Str(Text::rewritten(
                    strftime::format(pattern, self.now),
                    pattern.has_foreign(),
                )))
            }
            _ => fault!("'{name}' is not callable on its own"),
        }
    }

    fn range(&mut self, args: &Args) -> Outcome<Value> {
        let bounds: Vec<i64> = args
            .positional
            .iter()
            .map(|value| expect_int("range", value))
            .collect::<Outcome<_>>()?;
        let (start, stop, step) = match bounds[..] {
            [stop] => (0, stop, 1),
            [start, stop] => (start, stop, 1),
            [start, stop, step] if step != 0 => (start, stop, step),
            _ => return fault!("range() takes one to three integers, the third not zero"),
        };
        let distance = (i128::from(stop) - i128::from(start)) * i128::from(step.signum());
        let count = (distance.max(0) as u128).div_ceil(u128::from(step.unsigned_abs()));
        self.budget.pay(u64::try_from(count).unwrap_or(u64::MAX))?;
        Value::list(
            (0..count as i64)
                .map(|index| Value::Int(start + index * step))
                .collect(),
        )
    }

    /// The entries of `dict(…)`: of a mapping or of pairs, then the named ones.
    fn pairs(&mut self, args: &Args) -> Outcome<Vec<(Value, Value)>> {
        let mut pairs = Vec::new();
        match &args.positional[..] {
            [] => (),
            [Value::Dict(dict)] => pairs.extend_from_slice(&dict.entries),
            [Value::List(list) | Value::Tuple(list)] => {
                for item in &list.items {
                    match &item.items()?[..] {
                        [key, value] => pairs.push((key.clone(), value.clone())),
                        _ => return fault!("dict() expects pairs"),
                    }
                }
            }
            _ => return fault!("dict() and namespace() take one mapping and named values"),
        }
        self.budget.pay(pairs.len() as u64)?;
        pairs.extend(
            args.named
                .iter()
                .map(|(name, value)| (Value::own(name.clone()), value.clone())),
        );
        Ok(pairs)
    }
}

/// Python's `str.format` with `{}`, `{0}`, `{name}` and simple format specifications.
pub(super) fn str_format(pattern: &Text, args: &Args, budget: &mut Budget) -> Outcome<Text> {
    let mut out = TextBuilder::default();
    let mut next = 0;
    let mut rest: &str = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        out.push(&pattern.part(&rest[..at]));
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            out.push(&pattern.part(brace));
            rest = after;
            continue;
        }
        let Some((field, after)) = rest.split_once('}').filter(|_| brace == "{") else {
            return fault!("single '{brace}' in format string");
        };
        rest = after;
        let (name, spec) = field.split_once(':').unwrap_or((field, ""));
        let value = match name.parse::<usize>() {
            Ok(index) => args.positional.get(index),
            Err(_) if name.is_empty() => {
                next += 1;
                args.positional.get(next - 1)
            }
            Err(_) => args
                .named
                .iter()
                .find(|(known, _)| **known == *name)
                .map(|(_, value)| value),
        };
        let Some(value) = value else {
            return fault!("format() has no argument for '{{{field}}}'");
        };
        budget.pay(value.weight())?;
        let conversion =
            spec.len() - usize::from(spec.ends_with(|c: char| c.is_ascii_alphabetic()));
        let (flags, conversion) = spec.split_at(conversion);
        let formatted = match (conversion, value) {
            ("", Value::Float(_)) if flags.contains('.') => format_spec(flags, "f", value)?,
            ("", _) => format_spec(flags, "s", value)?,
            _ => format_spec(flags, conversion, value)?,
        };
        budget.pay_bytes(formatted.len())?;
        out.push(&formatted);
    }
    out.push(&pattern.part(rest));
    Ok(out.finish())
}

/// One value by flags (`-`, `<`, `>`, `0`, `+`), width, precision and conversion.
pub(super) fn format_spec(spec: &str, conversion: &str, value: &Value) -> Outcome<Text> {
    let flags_end = spec
        .find(|c: char| !"-+<> 0#,".contains(c))
        .unwrap_or(spec.len());
    let (flags, sizes) = spec.split_at(flags_end);
    let (width, precision) = sizes.split_once('.').unwrap_or((sizes, ""));
    let size = |digits: &str| {
        if digits.is_empty() {
            Some(None)
        } else {
            digits.parse::<usize>().ok().map(Some)
        }
    };
    let (Some(width), Some(precision)) = (size(width), size(precision)) else {
        return fault!("unsupported format '%{spec}{conversion}'");
    };
    if width.max(precision).is_some_and(|size| size > 1000) {
        return fault!("format sizes are limited to 1000");
    }
    let number = || {
        value
            .as_float()
            .ok_or_else(|| Fault::Other(format!("a number is required, not {}", value.type_name())))
    };
    let text = match conversion {
        "s" if width.is_none() && precision.is_none() => return Ok(python::text(value)),
        "s" => truncated(&python::text(value), precision),
        "r" => truncated(&python::repr(value), precision),
        "d" | "i" | "u" => match value.as_int() {
            Some(value) => value.to_string(),
            None => format!("{}", number()?.trunc()),
        },
        "f" | "F" => format!("{:.*}", precision.unwrap_or(6), number()?),
        "x" => format!("{:x}", expect_int("%x", value)?),
        "X" => format!("{:X}", expect_int("%X", value)?),
        _ => return fault!("unsupported format '%{spec}{conversion}'"),
    };
    let plus = if flags.contains('+') && !text.starts_with('-') && conversion != "s" {
        "+"
    } else {
        ""
    };
    let text = format!("{plus}{text}");
    let missing = width.unwrap_or(0).saturating_sub(text.chars().count());
    let padded = if flags.contains(['-', '<']) {
        text + &" ".repeat(missing)
    } else if flags.contains('0') && conversion != "s" {
        let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
        format!("{sign}{}{digits}", "0".repeat(missing))
    } else {
        " ".repeat(missing) + &text
    };
    Ok(Text::rewritten(padded, value.has_foreign()))
}

fn truncated(text: &str, precision: Option<usize>) -> String {
    let most = precision.unwrap_or(usize::MAX);
    text.chars().take(most).collect()
}
