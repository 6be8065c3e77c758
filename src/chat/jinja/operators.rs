//! Arithmetic, comparison and slicing, as Python does them.

use std::cmp::Ordering;

use super::ast::{Comparison, Expr};
use super::error::{Fault, Outcome, fault};
use super::functions;
use super::interpreter::Interpreter;
use super::python;
use super::text::{Text, TextBuilder};
use super::value::Value;

impl Interpreter {
    /// `a operator b` for numbers, strings and lists.
    pub(super) fn arithmetic(&mut self, operator: &str, a: &Value, b: &Value) -> Outcome<Value> {
        for value in [a, b] {
            if let Value::Undefined(name) = value {
                return fault!("'{name}' is undefined");
            }
        }
        match (operator, a, b) {
            ("+", Value::Str(a), Value::Str(b)) => {
                self.budget.pay_bytes(a.len() + b.len())?;
                let both = [a.clone(), b.clone()].into_iter();
                Ok(Value::Str(both.collect::<TextBuilder>().finish()))
            }
            ("+", Value::List(x), Value::List(y)) | ("+", Value::Tuple(x), Value::Tuple(y)) => {
                self.budget.pay_items(x.items.len() + y.items.len())?;
                let items = x.items.iter().chain(&y.items).cloned().collect();
                if matches!(a, Value::List(_)) {
                    Value::list(items)
                } else {
                    Value::tuple(items)
                }
            }
            ("*", repeated @ (Value::Str(_) | Value::List(_) | Value::Tuple(_)), count)
            | ("*", count, repeated @ (Value::Str(_) | Value::List(_) | Value::Tuple(_))) => {
                self.repeat(repeated, count)
            }
            ("%", Value::Str(pattern), args) => {
                self.budget.pay(a.weight().saturating_add(b.weight()))?;
                let values = match args {
                    Value::Tuple(values) => values.items.clone(),
                    single => vec![single.clone()],
                };
                self.printf(pattern, &values).map(Value::Str)
            }
            _ => match (a.as_int(), b.as_int()) {
                (Some(x), Some(y)) => integers(operator, x, y),
                _ => match (a.as_float(), b.as_float()) {
                    (Some(x), Some(y)) => floats(operator, x, y),
                    _ => fault!(
                        "unsupported operand type(s) for {operator}: '{}' and '{}'",
                        a.type_name(),
                        b.type_name()
                    ),
                },
            },
        }
    }

    fn repeat(&mut self, repeated: &Value, count: &Value) -> Outcome<Value> {
        let Some(count) = count.as_int() else {
            return fault!(
                "can't multiply sequence by non-int of type '{}'",
                count.type_name()
            );
        };
        let count = usize::try_from(count).unwrap_or(0);
        match repeated {
            Value::Str(text) => {
                self.budget.pay_bytes(text.len().saturating_mul(count))?;
                let copies = std::iter::repeat_n(text.clone(), count);
                Ok(Value::Str(copies.collect::<TextBuilder>().finish()))
            }
            Value::List(sequence) | Value::Tuple(sequence) => {
                self.budget
                    .pay_items(sequence.items.len().saturating_mul(count))?;
                let items = std::iter::repeat_n(&sequence.items, count)
                    .flatten()
                    .cloned()
                    .collect();
                if matches!(repeated, Value::List(_)) {
                    Value::list(items)
                } else {
                    Value::tuple(items)
                }
            }
            other => fault!("'{}' cannot be repeated", other.type_name()),
        }
    }

    /// One comparison of a chain.
    pub(super) fn compare(
        &mut self,
        comparison: Comparison,
        a: &Value,
        b: &Value,
    ) -> Outcome<bool> {
        match (comparison, a, b) {
            (Comparison::In | Comparison::NotIn, ..) => {
                let negated = comparison == Comparison::NotIn;
                return Ok(self.contains(b, a)? != negated);
            }
            (_, Value::Str(a), Value::Str(b)) => self.budget.pay_bytes(a.len().min(b.len()))?,
            _ => self
                .budget
                .pay(a.comparison_weight().min(b.comparison_weight()))?,
        }
        Ok(match comparison {
            Comparison::Equal => python::equal(a, b),
            Comparison::NotEqual => !python::equal(a, b),
            _ => {
                if let Some(Value::Undefined(name)) = [a, b]
                    .into_iter()
                    .find(|v| matches!(v, Value::Undefined(_)))
                {
                    return fault!("'{name}' is undefined");
                }
                let ordering = python::compare(a, b)?;
                match comparison {
                    Comparison::Less => ordering == Ordering::Less,
                    Comparison::LessEqual => ordering != Ordering::Greater,
                    Comparison::Greater => ordering == Ordering::Greater,
                    _ => ordering != Ordering::Less,
                }
            }
        })
    }

    /// Python's `item in container`.
    pub(super) fn contains(&mut self, container: &Value, item: &Value) -> Outcome<bool> {
        match container {
            Value::Str(text) => match item {
                Value::Str(part) => {
                    self.budget.pay_bytes(text.len() + part.len())?;
                    Ok(text.contains(&**part))
                }
                Value::Undefined(name) => fault!("'{name}' is undefined"),
                other => fault!(
                    "'in <string>' requires string as left operand, not {}",
                    other.type_name()
                ),
            },
            Value::Dict(dict) => {
                self.budget
                    .pay((dict.entries.len() as u64 / 8).saturating_mul(item.weight()))?;
                Ok(dict.entries.iter().any(|(key, _)| python::equal(key, item)))
            }
            Value::List(sequence) | Value::Tuple(sequence) => {
                self.budget.pay(container.comparison_weight())?;
                Ok(sequence
                    .items
                    .iter()
                    .any(|other| python::equal(other, item)))
            }
            Value::Undefined(_) => Ok(false),
            other => fault!("argument of type '{}' is not iterable", other.type_name()),
        }
    }

    /// `subject[start:stop:step]`
    pub(super) fn slice(
        &mut self,
        subject: &Expr,
        bounds: &[Option<Box<Expr>>; 3],
    ) -> Outcome<Value> {
        let subject = self.evaluate(subject)?;
        let mut numbers = [None; 3];
        for (number, bound) in numbers.iter_mut().zip(bounds) {
            let Some(bound) = bound else { continue };
            *number = match self.evaluate(bound)? {
                Value::None => None,
                value => Some(
                    value
                        .as_int()
                        .ok_or(Fault::Other("slice indices must be integers".to_string()))?,
                ),
            };
        }
        self.budget.pay_items(subject.len().unwrap_or(0))?;
        match &subject {
            Value::Str(text) => {
                let ends = text
                    .char_indices()
                    .map(|(at, c)| &text[at..at + c.len_utf8()]);
                let chars: Vec<&str> = ends.collect();
                let kept = sliced(&chars, numbers)?.into_iter();
                let kept = kept.map(|char| text.part(char));
                Ok(Value::Str(kept.collect::<TextBuilder>().finish()))
            }
            Value::List(sequence) => Value::list(sliced(&sequence.items, numbers)?),
            Value::Tuple(sequence) => Value::tuple(sliced(&sequence.items, numbers)?),
            Value::Undefined(name) => fault!("'{name}' is undefined"),
            other => fault!("'{}' object is not subscriptable", other.type_name()),
        }
    }

    /// Python's `pattern % values`: `%s`, `%r`, `%d`, `%f`, `%x` with flags, width and precision.
    pub(super) fn printf(&mut self, pattern: &Text, values: &[Value]) -> Outcome<Text> {
        let mut out = TextBuilder::default();
        let mut values = values.iter();
        let mut pieces = pattern.split('%');
        out.push(&pattern.part(pieces.next().unwrap_or("")));
        while let Some(piece) = pieces.next() {
            if piece.is_empty() {
                out.push_own("%");
                out.push(&pattern.part(pieces.next().unwrap_or("")));
                continue;
            }
            let Some(end) = piece.find(|c: char| c.is_ascii_alphabetic()) else {
                return fault!("incomplete format '%{piece}'");
            };
            let Some(value) = values.next() else {
                return fault!("not enough arguments for format string");
            };
            let (spec, rest) = piece.split_at(end);
            let formatted = functions::format_spec(spec, &rest[..1], value)?;
            self.budget.pay_bytes(formatted.len())?;
            out.push(&formatted);
            out.push(&pattern.part(&rest[1..]));
        }
        match values.next() {
            Some(_) => fault!("not all arguments converted during string formatting"),
            None => Ok(out.finish()),
        }
    }
}

fn integers(operator: &str, a: i64, b: i64) -> Outcome<Value> {
    if b == 0 && ["/", "//", "%"].contains(&operator) {
        return fault!("division by zero");
    }
    let floored = |quotient: i64| {
        if a % b != 0 && (a < 0) != (b < 0) {
            quotient - 1
        } else {
            quotient
        }
    };
    let result = match operator {
        "+" => a.checked_add(b),
        "-" => a.checked_sub(b),
        "*" => a.checked_mul(b),
        "/" => return Ok(Value::Float(a as f64 / b as f64)),
        "//" => a.checked_div(b).map(floored),
        "%" => a.checked_rem(b).map(|rest| {
            if rest != 0 && (rest < 0) != (b < 0) {
                rest + b
            } else {
                rest
            }
        }),
        _ if b < 0 => return floats(operator, a as f64, b as f64),
        _ => u32::try_from(b)
            .ok()
            .and_then(|exponent| a.checked_pow(exponent)),
    };
    match result {
        Some(value) => Ok(Value::Int(value)),
        None => fault!("{a} {operator} {b} does not fit 64 bits"),
    }
}

fn floats(operator: &str, a: f64, b: f64) -> Outcome<Value> {
    if b == 0.0 && ["/", "//", "%"].contains(&operator) {
        return fault!("float division by zero");
    }
    Ok(Value::Float(match operator {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => a / b,
        "//" => (a / b).floor(),
        "%" => a - b * (a / b).floor(),
        _ => a.powf(b),
    }))
}

/// Python's slice of a sequence.
fn sliced<T: Clone>(items: &[T], [start, stop, step]: [Option<i64>; 3]) -> Outcome<Vec<T>> {
    let len = items.len() as i64;
    let step = step.unwrap_or(1);
    if step == 0 {
        return fault!("slice step cannot be zero");
    }
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let bound = |bound: Option<i64>, default: i64| match bound {
        Some(bound) if bound < 0 => bound.saturating_add(len).clamp(low, high),
        Some(bound) => bound.clamp(low, high),
        None => default,
    };
    let (first, last) = if step > 0 { (low, high) } else { (high, low) };
    let (mut at, end) = (bound(start, first), bound(stop, last));
    let mut kept = Vec::new();
    while (step > 0 && at < end) || (step < 0 && at > end) {
        kept.extend(
            usize::try_from(at)
                .ok()
                .and_then(|at| items.get(at))
                .cloned(),
        );
        at = at.saturating_add(step);
    }
    Ok(kept)
}
