//! Filters on single values; those on sequences are in [`sequences`](super::sequences).

use super::arguments::{Args, expect_int, expect_str};
use super::error::{Outcome, fault};
use super::interpreter::Interpreter;
use super::json::{Style, dumps};
use super::methods::capitalize;
use super::python;
use super::text::{Text, TextBuilder};
use super::value::Value;

const FILTERS: [&str; 46] = [
    "abs",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "sort",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "urlencode",
    "wordcount",
    "pprint",
];

/// Whether a filter has that name.
pub(super) fn is_filter(name: &str) -> bool {
    FILTERS.contains(&name)
}

impl Interpreter {
    /// `value|name(args)`
    pub(super) fn filter(&mut self, name: &str, value: &Value, args: &Args) -> Outcome<Value> {
        match name {
            "d" | "default" => {
                let [default, falsy] = args.bind(
                    name,
                    [
                        ("default_value", Some(Value::own(""))),
                        ("boolean", Some(Value::Bool(false))),
                    ],
                )?;
                let replaced =
                    matches!(value, Value::Undefined(_)) || (falsy.is_true() && !value.is_true());
                Ok(if replaced { default } else { value.clone() })
            }
            "tojson" => self.dump(value, args),
            "length" | "count" => {
                let [] = args.bind(name, [])?;
                value.len().map(|len| Value::Int(len as i64))
            }
            "int" | "float" | "abs" | "round" => number_filter(name, value, args),
            "attr" => {
                let [attribute] = args.bind(name, [("name", None)])?;
                self.attribute(value, expect_str(name, &attribute)?.shared())
            }
            "items" => match value {
                Value::Undefined(_) => Value::list(Vec::new()),
                value => self.method(value, &"items".into(), args),
            },
            "string" | "trim" | "upper" | "lower" | "title" | "capitalize" | "replace"
            | "indent" | "center" | "format" | "wordcount" | "e" | "escape" | "forceescape"
            | "safe" | "urlencode" | "pprint" => self.text_filter(name, value, args),
            _ => self.sequence_filter(name, value, args),
        }
    }

    fn dump(&mut self, value: &Value, args: &Args) -> Outcome<Value> {
        let off = || Some(Value::Bool(false));
        let [ensure_ascii, indent, separators, sort_keys] = args.bind(
            "tojson",
            [
                ("ensure_ascii", off()),
                ("indent", Some(Value::None)),
                ("separators", Some(Value::None)),
                ("sort_keys", off()),
            ],
        )?;
        self.budget.pay(value.weight())?;
        let style = Style::new(
            &indent,
            &separators,
            ensure_ascii.is_true(),
            sort_keys.is_true(),
        )?;
        let text = dumps(value, &style, &mut |bytes| self.budget.pay_bytes(bytes))?;
        self.budget.pay_bytes(text.len())?;
        Ok(Value::Str(Text::rewritten(text, value.has_foreign())))
    }

    fn text_filter(&mut self, name: &str, value: &Value, args: &Args) -> Outcome<Value> {
        let text = self.text(value)?;
        self.budget.pay_bytes(text.len())?;
        let rewritten = |new: String| Value::Str(Text::rewritten(new, text.has_foreign()));
        Ok(match name {
            "trim" => {
                let [chars] = args.bind(name, [("chars", Some(Value::None))])?;
                let strip = Args {
                    positional: vec![chars],
                    named: Vec::new(),
                };
                self.method(&Value::Str(text), &"strip".into(), &strip)?
            }
            "upper" => rewritten(text.to_uppercase()),
            "lower" => rewritten(text.to_lowercase()),
            "capitalize" => rewritten(capitalize(&text)),
            "title" => rewritten(title(&text)),
            "replace" => {
                let [old, new, count] = args.bind(
                    name,
                    [("old", None), ("new", None), ("count", Some(Value::None))],
                )?;
                let count = if let Value::None = count {
                    -1
                } else {
                    expect_int(name, &count)?
                };
                self.replace(
                    &text,
                    expect_str(name, &old)?,
                    expect_str(name, &new)?,
                    count,
                )?
            }
            "indent" => self.indent(&text, args)?,
            "center" => self.method(&Value::Str(text), &"center".into(), args)?,
            "format" => Value::Str(self.printf(&text, &args.positional)?),
            "wordcount" => Value::Int(
                text.split(|c: char| !c.is_alphanumeric() && c != '_')
                    .filter(|word| !word.is_empty())
                    .count() as i64,
            ),
            "e" | "escape" | "forceescape" => rewritten(escape(&text)),
            "urlencode" => rewritten(percent_encode(&text)),
            "pprint" => rewritten(python::repr(value)),
            _ => Value::Str(text),
        })
    }

    fn indent(&mut self, text: &Text, args: &Args) -> Outcome<Value> {
        let off = || Some(Value::Bool(false));
        let [width, first, blank] = args.bind(
            "indent",
            [
                ("width", Some(Value::Int(4))),
                ("first", off()),
                ("blank", off()),
            ],
        )?;
        let indent = match &width {
            Value::Str(indent) => indent.clone(),
            width => {
                let width = usize::try_from(expect_int("indent", width)?).unwrap_or(0);
                self.budget.pay_bytes(width)?;
                Text::own(" ".repeat(width))
            }
        };
        let lines: Vec<&str> = text.split('\n').collect();
        self.budget
            .pay_bytes(lines.len().saturating_mul(indent.len() + 1))?;
        let mut out = TextBuilder::default();
        for (index, line) in lines.iter().enumerate() {
            let indented = if index == 0 {
                first.is_true()
            } else {
                blank.is_true() || !line.is_empty()
            };
            out.push_own(if index > 0 { "\n" } else { "" });
            if indented {
                out.push(&indent);
            }
            out.push(&text.part(line));
        }
        Ok(Value::Str(out.finish()))
    }
}

fn number_filter(name: &str, value: &Value, args: &Args) -> Outcome<Value> {
    let trimmed = value.as_str().map(|text| text.trim().replace('_', ""));
    Ok(match name {
        "int" => {
            let [default] = args.bind(name, [("default", Some(Value::Int(0)))])?;
            let parsed = trimmed.and_then(|text| {
                text.parse()
                    .ok()
                    .or_else(|| text.parse::<f64>().ok().map(|value| value as i64))
            });
            let float = value
                .as_float()
                .filter(|value| value.is_finite())
                .map(|value| value as i64);
            value
                .as_int()
                .or(float)
                .or(parsed)
                .map_or(default, Value::Int)
        }
        "float" => {
            let [default] = args.bind(name, [("default", Some(Value::Float(0.0)))])?;
            let parsed = trimmed.and_then(|text| text.parse().ok());
            value.as_float().or(parsed).map_or(default, Value::Float)
        }
        "abs" => match (value.as_int(), value.as_float()) {
            (Some(value), _) => Value::Int(value.saturating_abs()),
            (None, Some(value)) => Value::Float(value.abs()),
            _ => return fault!("bad operand type for abs(): '{}'", value.type_name()),
        },
        _ => {
            let [precision, method] = args.bind(
                name,
                [
                    ("precision", Some(Value::Int(0))),
                    ("method", Some(Value::own("common"))),
                ],
            )?;
            let Some(number) = value.as_float() else {
                return fault!("type {} cannot be rounded", value.type_name());
            };
            let precision = expect_int(name, &precision)?.clamp(-300, 300);
            let scale = 10_f64.powi(precision as i32);
            match &**expect_str(name, &method)? {
                "ceil" => Value::Float((number * scale).ceil() / scale),
                "floor" => Value::Float((number * scale).floor() / scale),
                _ if precision >= 0 && value.as_int().is_some() => value.clone(),
                // The decimal expansion of the float decides, not a product that rounds first.
                _ if precision >= 0 => Value::Float(
                    format!("{number:.*}", precision as usize)
                        .parse()
                        .unwrap_or(number),
                ),
                _ => Value::Float((number * scale).round_ties_even() / scale),
            }
        }
    })
}

/// Jinja's `title` filter: words begin after spaces, hyphens and brackets.
fn title(text: &str) -> String {
    let begins_word = |c: char| c.is_whitespace() || "-({[<".contains(c);
    text.split_inclusive(begins_word).map(capitalize).collect()
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn percent_encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-~/".contains(&byte);
    let encode = |byte: u8| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(encode).collect()
}
