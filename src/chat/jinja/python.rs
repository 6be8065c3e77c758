//! How Python prints and compares values.
//!
//! Callers pay for the value's weight first; depth is bounded by construction.

use std::cmp::Ordering;
use std::fmt::Write;

use super::error::{Outcome, fault};
use super::text::Text;
use super::value::{Sequence, Value};

/// Python's `str`.
pub(super) fn text(value: &Value) -> Text {
    match value {
        Value::Undefined(_) => Text::own(""),
        Value::Str(text) => text.clone(),
        _ => Text::rewritten(repr(value), value.has_foreign()),
    }
}

/// Python's `repr`.
pub(super) fn repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(value, &mut out);
    out
}

fn write_repr(value: &Value, out: &mut String) {
    match value {
        Value::Undefined(_) => out.push_str("Undefined"),
        Value::None => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Float(value) => out.push_str(&float(*value)),
        Value::Str(text) => write_quoted(text, out),
        Value::List(sequence) => write_items(sequence, "[", "]", out),
        Value::Tuple(sequence) if sequence.items.len() == 1 => {
            write_items(sequence, "(", ",)", out);
        }
        Value::Tuple(sequence) => write_items(sequence, "(", ")", out),
        Value::Dict(dict) => {
            out.push('{');
            for (index, (key, value)) in dict.entries.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write_repr(key, out);
                out.push_str(": ");
                write_repr(value, out);
            }
            out.push('}');
        }
        Value::Namespace(_) => out.push_str("<Namespace>"),
        Value::Loop(state) => {
            let _ = write!(
                out,
                "<LoopContext {}/{}>",
                state.index + 1,
                state.items.items.len()
            );
        }
        Value::Macro(definition, _) => {
            let _ = write!(out, "<Macro '{}'>", definition.name);
        }
        Value::Function(name) => {
            let _ = write!(out, "<function {name}>");
        }
    }
}

fn write_items(sequence: &Sequence, open: &str, close: &str, out: &mut String) {
    out.push_str(open);
    for (index, item) in sequence.items.iter().enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        write_repr(item, out);
    }
    out.push_str(close);
}

fn write_quoted(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() || is_unprintable(c) => write_code(c as u32, out),
            c => out.push(c),
        }
    }
    out.push(quote);
}

/// Separators and invisible characters that Python escapes, besides control characters.
fn is_unprintable(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{ad}' | '\u{1680}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}'
        | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}')
}

fn write_code(code: u32, out: &mut String) {
    let _ = match code {
        0..=0xff => write!(out, "\\x{code:02x}"),
        0x100..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

/// Python's shortest float that reads back the same: exponents below 1e-4 and from 1e16 on.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_string();
    }
    // Rust's `Debug` switches to exponents at the same values and leaves out sign and padding.
    let shortest = format!("{value:?}");
    match shortest.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = exponent
                .strip_prefix('-')
                .map_or(('+', exponent), |digits| ('-', digits));
            format!(
                "{}e{sign}{digits:0>2}",
                mantissa.strip_suffix(".0").unwrap_or(mantissa)
            )
        }
        None => shortest,
    }
}

/// Python's `==`.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            a.items.len() == b.items.len() && a.items.iter().zip(&b.items).all(|(a, b)| equal(a, b))
        }
        (Value::Dict(a), Value::Dict(b)) => {
            let find = |key: &Value| b.entries.iter().find(|(other, _)| equal(key, other));
            let matches = |(key, value): &(Value, Value)| {
                find(key).is_some_and(|(_, other)| equal(value, other))
            };
            a.entries.len() == b.entries.len() && a.entries.iter().all(matches)
        }
        (Value::Function(a), Value::Function(b)) => a == b,
        (Value::Macro(a, _), Value::Macro(b, _)) => std::sync::Arc::ptr_eq(a, b),
        _ => match (a.as_int(), b.as_int()) {
            (Some(a), Some(b)) => a == b,
            _ => matches!((a.as_float(), b.as_float()), (Some(a), Some(b)) if a == b),
        },
    }
}

/// Python's `<`: numbers, strings and sequences.
pub(super) fn compare(a: &Value, b: &Value) -> Outcome<Ordering> {
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => return Ok(a.cmp(b)),
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            for (a, b) in a.items.iter().zip(&b.items) {
                if !equal(a, b) {
                    return compare(a, b);
                }
            }
            return Ok(a.items.len().cmp(&b.items.len()));
        }
        _ => (),
    }
    let ints = a.as_int().zip(b.as_int()).map(|(a, b)| a.cmp(&b));
    let floats = || {
        a.as_float()
            .zip(b.as_float())
            .and_then(|(a, b)| a.partial_cmp(&b))
    };
    match ints.or_else(floats) {
        Some(ordering) => Ok(ordering),
        None => fault!(
            "'<' not supported between instances of '{}' and '{}'",
            a.type_name(),
            b.type_name()
        ),
    }
}

/// Python's stable `sorted`: a merge, since orders of mixed numbers need not be consistent, which the library's sort
/// answers with a panic.
pub(super) fn sorted<T>(
    mut items: Vec<T>,
    key: &impl Fn(&T) -> &Value,
    reverse: bool,
) -> Outcome<Vec<T>> {
    if items.len() < 2 {
        return Ok(items);
    }
    let right = items.split_off(items.len() / 2);
    let mut left = sorted(items, key, reverse)?.into_iter().peekable();
    let mut right = sorted(right, key, reverse)?.into_iter().peekable();
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let sooner = if reverse {
        Ordering::Greater
    } else {
        Ordering::Less
    };
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let from_right = compare(key(b), key(a))? == sooner;
        merged.extend(if from_right {
            right.next()
        } else {
            left.next()
        });
    }
    merged.extend(left.chain(right));
    Ok(merged)
}

/// Whitespace to Python's `str.strip` and `str.split`: Unicode's, and four separators of ASCII.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}
