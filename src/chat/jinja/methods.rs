//! Python's methods of strings, dicts and lists.

use std::rc::Rc;
use std::sync::Arc;

use super::arguments::{Args, expect_int, expect_str};
use super::error::{Outcome, fault};
use super::functions;
use super::interpreter::Interpreter;
use super::python::{self, is_space};
use super::text::{Text, TextBuilder};
use super::value::{Dict, Loop, Value};

/// Whether a dict has a method of that name, which then hides an entry of it.
pub(super) fn is_dict_method(name: &str) -> bool {
    [
        "items",
        "keys",
        "values",
        "get",
        "copy",
        "pop",
        "update",
        "setdefault",
        "popitem",
        "clear",
    ]
    .contains(&name)
}

/// The attributes of `loop`.
pub(super) fn loop_attribute(state: &Loop, name: &str) -> Value {
    let (index, items) = (state.index, &state.items.items);
    let neighbour = |item: Option<&Value>| item.cloned().unwrap_or_else(|| Value::undefined(name));
    let int = |value: usize| Value::Int(value as i64);
    match name {
        "index" => int(index + 1),
        "index0" => int(index),
        "revindex" => int(items.len() - index),
        "revindex0" => int(items.len() - index - 1),
        "first" => Value::Bool(index == 0),
        "last" => Value::Bool(index + 1 == items.len()),
        "length" => int(items.len()),
        // Counts recursive calls of one loop, not loops in one another.
        "depth" => int(1),
        "depth0" => int(0),
        "previtem" => neighbour(index.checked_sub(1).and_then(|index| items.get(index))),
        "nextitem" => neighbour(items.get(index + 1)),
        _ => Value::undefined(name),
    }
}

impl Interpreter {
    /// `subject.name(args)`
    pub(super) fn method(
        &mut self,
        subject: &Value,
        name: &Arc<str>,
        args: &Args,
    ) -> Outcome<Value> {
        let arguments = args
            .positional
            .iter()
            .chain(args.named.iter().map(|(_, value)| value));
        let weight = arguments.fold(1_u64, |weight, value| weight.saturating_add(value.weight()));
        self.budget.pay(weight)?;
        match subject {
            Value::Str(text) => {
                self.budget.pay_bytes(text.len())?;
                self.string_method(text, name, args)
            }
            Value::Dict(dict) if is_dict_method(name) => self.dict_method(dict, name, args),
            Value::List(sequence) | Value::Tuple(sequence)
                if ["count", "index"].contains(&&**name) =>
            {
                let [wanted] = args.bind(name, [("value", None)])?;
                self.budget.pay(subject.comparison_weight())?;
                let mut places = (0..)
                    .zip(&sequence.items)
                    .filter(|(_, item)| python::equal(item, &wanted));
                match (&**name, places.next()) {
                    ("index", Some((index, _))) => Ok(Value::Int(index)),
                    ("index", None) => fault!("{} is not in list", python::repr(&wanted)),
                    (_, first) => Ok(Value::Int(first.map_or(0, |_| 1 + places.count() as i64))),
                }
            }
            Value::Loop(state) if **name == *"cycle" && !args.positional.is_empty() => {
                Ok(args.positional[state.index % args.positional.len()].clone())
            }
            Value::Undefined(missing) => fault!("'{missing}' is undefined"),
            _ => match self.attribute(subject, name)? {
                Value::Macro(definition, visible) => self.call_macro(&definition, visible, args),
                _ => fault!(
                    "'{} object' has no method '{name}' that a template may call",
                    subject.type_name()
                ),
            },
        }
    }

    fn dict_method(&mut self, dict: &Rc<Dict>, name: &str, args: &Args) -> Outcome<Value> {
        self.budget.pay(dict.entries.len() as u64)?;
        let entries = dict.entries.iter();
        match name {
            "items" => {
                let [] = args.bind(name, [])?;
                let pairs =
                    entries.map(|(key, value)| Value::tuple(vec![key.clone(), value.clone()]));
                Value::list(pairs.collect::<Outcome<_>>()?)
            }
            "keys" => Value::list(entries.map(|(key, _)| key.clone()).collect()),
            "values" => Value::list(entries.map(|(_, value)| value.clone()).collect()),
            "copy" => Ok(Value::Dict(dict.clone())),
            "get" => {
                let [key, default] =
                    args.bind(name, [("key", None), ("default", Some(Value::None))])?;
                self.budget
                    .pay((dict.entries.len() as u64 / 8).saturating_mul(key.weight()))?;
                let found = dict
                    .entries
                    .iter()
                    .find(|(other, _)| python::equal(other, &key));
                Ok(found.map_or(default, |(_, value)| value.clone()))
            }
            _ => fault!("dict.{name}() would change a value, which templates may not"),
        }
    }

    fn string_method(&mut self, text: &Text, name: &str, args: &Args) -> Outcome<Value> {
        let part = |part: &str| Value::Str(text.part(part));
        let parts = |parts: Vec<&str>| Value::list(parts.into_iter().map(part).collect());
        Ok(match name {
            "strip" | "lstrip" | "rstrip" => part(strip(text, name, args)?),
            "split" | "rsplit" => {
                let [separator, limit] = args.bind(
                    name,
                    [
                        ("sep", Some(Value::None)),
                        ("maxsplit", Some(Value::Int(-1))),
                    ],
                )?;
                let limit = usize::try_from(expect_int(name, &limit)?).unwrap_or(usize::MAX);
                self.budget.pay(pieces(text, &separator))?;
                parts(split(text, &separator, limit, name == "rsplit")?)?
            }
            "splitlines" => {
                let [keep] = args.bind(name, [("keepends", Some(Value::Bool(false)))])?;
                self.budget.pay(pieces(text, &Value::None))?;
                parts(split_lines(text, keep.is_true()))?
            }
            "partition" | "rpartition" => {
                let [separator] = args.bind(name, [("sep", None)])?;
                let separator = expect_str(name, &separator)?;
                let cut = partition(text, separator, name == "rpartition");
                Value::tuple(cut.map(part).into())?
            }
            "replace" => {
                let [old, new, count] = args.bind(
                    name,
                    [
                        ("old", None),
                        ("new", None),
                        ("count", Some(Value::Int(-1))),
                    ],
                )?;
                self.replace(
                    text,
                    expect_str(name, &old)?,
                    expect_str(name, &new)?,
                    expect_int(name, &count)?,
                )?
            }
            "startswith" | "endswith" => {
                let [affix] = args.bind(name, [("affix", None)])?;
                Value::Bool(has_affix(text, &affix, name)?)
            }
            "removeprefix" | "removesuffix" => {
                let [affix] = args.bind(name, [("affix", None)])?;
                let affix: &str = expect_str(name, &affix)?;
                let rest = if name == "removeprefix" {
                    text.strip_prefix(affix)
                } else {
                    text.strip_suffix(affix)
                };
                part(rest.unwrap_or(text))
            }
            "find" | "rfind" | "index" | "count" => {
                let [part] = args.bind(name, [("sub", None)])?;
                search(text, expect_str(name, &part)?, name)?
            }
            "join" => {
                let [parts] = args.bind(name, [("iterable", None)])?;
                self.pay_for_items(&parts)?;
                self.join(text, &parts.items()?)?
            }
            "format" => Value::Str(functions::str_format(text, args, &mut self.budget)?),
            "center" | "ljust" | "rjust" | "zfill" => self.pad(text, name, args)?,
            _ => return case_or_class(text, name, args),
        })
    }

    /// `replace` as string method and as filter.
    pub(super) fn replace(
        &mut self,
        text: &Text,
        old: &str,
        new: &Text,
        count: i64,
    ) -> Outcome<Value> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let found = text.matches(old).take(count).count();
        self.budget
            .pay_bytes(text.len().saturating_add(found.saturating_mul(new.len())))?;
        let mut replaced = TextBuilder::default();
        let mut rest = 0;
        for (at, found) in text.match_indices(old).take(count) {
            replaced.push(&text.part(&text[rest..at]));
            replaced.push(new);
            rest = at + found.len();
        }
        replaced.push(&text.part(&text[rest..]));
        Ok(Value::Str(replaced.finish()))
    }

    fn join(&mut self, separator: &Text, parts: &[Value]) -> Outcome<Value> {
        self.budget
            .pay_bytes(separator.len().saturating_mul(parts.len()))?;
        let mut joined = TextBuilder::default();
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                joined.push(separator);
            }
            joined.push(expect_str("join", part)?);
        }
        Ok(Value::Str(joined.finish()))
    }

    fn pad(&mut self, text: &Text, name: &str, args: &Args) -> Outcome<Value> {
        let [width, fill] =
            args.bind(name, [("width", None), ("fillchar", Some(Value::own(" ")))])?;
        let width = usize::try_from(expect_int(name, &width)?).unwrap_or(0);
        let missing = width.saturating_sub(text.chars().count());
        self.budget.pay_bytes(missing.saturating_mul(4))?;
        let fill = expect_str(name, &fill)?;
        if fill.chars().count() != 1 {
            return fault!("{name}() expects a fill of one character");
        }
        let of_foreign = text.has_foreign() || fill.has_foreign();
        let text: &str = text;
        let padded = match name {
            "ljust" => format!("{text}{}", fill.repeat(missing)),
            "rjust" => format!("{}{text}", fill.repeat(missing)),
            "zfill" => {
                let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
                format!("{sign}{}{digits}", "0".repeat(missing))
            }
            _ => {
                let left = missing / 2 + (missing & width & 1);
                format!("{}{text}{}", fill.repeat(left), fill.repeat(missing - left))
            }
        };
        Ok(Value::Str(Text::rewritten(padded, of_foreign)))
    }
}

fn strip<'t>(text: &'t Text, name: &str, args: &Args) -> Outcome<&'t str> {
    let [set] = args.bind(name, [("chars", Some(Value::None))])?;
    let set = if matches!(set, Value::None) {
        None
    } else {
        Some(expect_str(name, &set)?)
    };
    let stripped = |c: char| set.map_or_else(|| is_space(c), |set| set.contains(c));
    Ok(match name {
        "lstrip" => text.trim_start_matches(stripped),
        "rstrip" => text.trim_end_matches(stripped),
        _ => text.trim_matches(stripped),
    })
}

/// At most how many pieces splitting gives.
fn pieces(text: &str, separator: &Value) -> u64 {
    let separators = match separator {
        Value::Str(separator) if !separator.is_empty() => text.matches(&**separator).count(),
        _ => text.chars().filter(|c| is_space(*c)).count(),
    };
    1 + separators as u64
}

fn split<'t>(
    text: &'t str,
    separator: &Value,
    limit: usize,
    from_end: bool,
) -> Outcome<Vec<&'t str>> {
    if let Value::None = separator {
        return Ok(split_space(text, limit, from_end));
    }
    let separator: &str = expect_str("split", separator)?;
    if separator.is_empty() {
        return fault!("empty separator");
    }
    let pieces = limit.saturating_add(1);
    if !from_end {
        return Ok(text.splitn(pieces, separator).collect());
    }
    let mut split: Vec<&str> = text.rsplitn(pieces, separator).collect();
    split.reverse();
    Ok(split)
}

/// Runs of whitespace separate, those at the ends do not count; what the limit leaves keeps its far end.
fn split_space(text: &str, limit: usize, from_end: bool) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        rest = if from_end {
            rest.trim_end_matches(is_space)
        } else {
            rest.trim_start_matches(is_space)
        };
        if rest.is_empty() {
            break;
        }
        let edge = if from_end {
            rest.rfind(is_space)
        } else {
            rest.find(is_space)
        };
        let Some(at) = edge.filter(|_| words.len() < limit) else {
            words.push(rest);
            break;
        };
        let space = rest[at..].chars().next().map_or(0, char::len_utf8);
        let (word, remaining) = if from_end {
            (&rest[at + space..], &rest[..at])
        } else {
            (&rest[..at], &rest[at..])
        };
        words.push(word);
        rest = remaining;
    }
    if from_end {
        words.reverse();
    }
    words
}

fn split_lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let is_end = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let content = rest.find(is_end).unwrap_or(rest.len());
        let end = if rest[content..].starts_with("\r\n") {
            2
        } else {
            rest[content..].chars().next().map_or(0, char::len_utf8)
        };
        lines.push(&rest[..if keep_ends { content + end } else { content }]);
        rest = &rest[content + end..];
    }
    lines
}

fn partition<'t>(text: &'t str, separator: &'t str, from_end: bool) -> [&'t str; 3] {
    let split = if from_end {
        text.rsplit_once(separator)
    } else {
        text.split_once(separator)
    };
    match split {
        Some((before, after)) => [before, separator, after],
        None if from_end => ["", "", text],
        None => [text, "", ""],
    }
}

fn has_affix(text: &str, affix: &Value, name: &str) -> Outcome<bool> {
    let one = |affix: &Value| {
        let affix: &str = expect_str(name, affix)?;
        Ok(if name == "startswith" {
            text.starts_with(affix)
        } else {
            text.ends_with(affix)
        })
    };
    match affix {
        Value::Tuple(affixes) => {
            let found: Vec<bool> = affixes.items.iter().map(one).collect::<Outcome<_>>()?;
            Ok(found.contains(&true))
        }
        affix => one(affix),
    }
}

fn search(text: &str, part: &str, name: &str) -> Outcome<Value> {
    let at = match name {
        "count" => return Ok(Value::Int(text.matches(part).count() as i64)),
        "rfind" => text.rfind(part),
        _ => text.find(part),
    };
    match at {
        Some(at) => Ok(Value::Int(text[..at].chars().count() as i64)),
        None if name == "index" => fault!("substring not found"),
        None => Ok(Value::Int(-1)),
    }
}

/// The methods without arguments.
fn case_or_class(text: &Text, name: &str, args: &Args) -> Outcome<Value> {
    let rewritten = |new: String| Value::Str(Text::rewritten(new, text.has_foreign()));
    let all = |class: fn(char) -> bool| Value::Bool(!text.is_empty() && text.chars().all(class));
    let value = match name {
        "upper" => rewritten(text.to_uppercase()),
        "lower" | "casefold" => rewritten(text.to_lowercase()),
        "title" => rewritten(title(text)),
        "capitalize" => rewritten(capitalize(text)),
        "swapcase" => {
            let swap = |c: char| {
                if c.is_uppercase() {
                    c.to_lowercase().to_string()
                } else {
                    c.to_uppercase().to_string()
                }
            };
            rewritten(text.chars().map(swap).collect())
        }
        "isdigit" | "isnumeric" | "isdecimal" => all(char::is_numeric),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isspace" => all(is_space),
        "isascii" => Value::Bool(text.is_ascii()),
        "isupper" => Value::Bool(
            text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase),
        ),
        "islower" => Value::Bool(
            text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase),
        ),
        _ => return fault!("'str object' has no method '{name}' that a template may call"),
    };
    let [] = args.bind(name, [])?;
    Ok(value)
}

/// Upper case at the start of every run of letters.
fn title(text: &str) -> String {
    let mut after_letter = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if after_letter {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        after_letter = c.is_alphabetic();
    }
    out
}

/// Upper case at the start, lower case after it.
pub(super) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars
        .next()
        .map(char::to_uppercase)
        .into_iter()
        .flatten()
        .collect();
    first + &chars.as_str().to_lowercase()
}
