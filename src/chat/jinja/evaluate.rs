//! Evaluating expressions.

use std::sync::Arc;

use super::arguments::Args;
use super::ast::{Arguments, Comparison, Expr, Kind};
use super::error::{Outcome, fault};
use super::functions::is_function;
use super::interpreter::Interpreter;
use super::methods;
use super::python;
use super::text::TextBuilder;
use super::value::Value;

impl Interpreter {
    /// The value of an expression.
    pub(super) fn evaluate(&mut self, expression: &Expr) -> Outcome<Value> {
        self.budget.enter()?;
        let value = self.evaluate_kind(&expression.kind)?;
        self.budget.leave();
        Ok(value)
    }

    fn evaluate_kind(&mut self, kind: &Kind) -> Outcome<Value> {
        Ok(match kind {
            Kind::None => Value::None,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Int(value) => Value::Int(*value),
            Kind::Float(value) => Value::Float(*value),
            Kind::Str(text) => Value::own(text.clone()),
            Kind::Name(name) => self.name(name),
            Kind::List(items) => Value::list(self.evaluate_all(items)?)?,
            Kind::Tuple(items) => Value::tuple(self.evaluate_all(items)?)?,
            Kind::Dict(entries) => self.dict(entries)?,
            Kind::Attribute(subject, name) => {
                let subject = self.evaluate(subject)?;
                self.attribute(&subject, name)?
            }
            Kind::Item(subject, key) => {
                let subject = self.evaluate(subject)?;
                let key = self.evaluate(key)?;
                self.item(&subject, &key)?
            }
            Kind::Slice(subject, bounds) => self.slice(subject, bounds)?,
            Kind::Call(callee, arguments) => self.call(callee, arguments)?,
            Kind::Filter(subject, name, arguments) => {
                let subject = self.evaluate(subject)?;
                let args = self.arguments(arguments)?;
                self.filter(name, &subject, &args)?
            }
            Kind::Test(subject, name, arguments) => {
                let subject = self.evaluate(subject)?;
                let args = self.arguments(arguments)?;
                Value::Bool(self.test(name, &subject, &args)?)
            }
            Kind::Not(inner) => Value::Bool(!self.evaluate(inner)?.is_true()),
            Kind::Negative(inner) => {
                let zero = Value::Int(0);
                let value = self.evaluate(inner)?;
                match value {
                    Value::Float(value) => Value::Float(-value),
                    value => self.arithmetic("-", &zero, &value)?,
                }
            }
            Kind::Positive(inner) => {
                let value = self.evaluate(inner)?;
                self.arithmetic("+", &Value::Int(0), &value)?
            }
            Kind::Arithmetic(operator, a, b) => {
                let a = self.evaluate(a)?;
                let b = self.evaluate(b)?;
                self.arithmetic(operator, &a, &b)?
            }
            Kind::Concat(parts) => self.concat(parts)?,
            Kind::Compare(first, rest) => self.compare_chain(first, rest)?,
            Kind::And(a, b) => {
                let a = self.evaluate(a)?;
                if a.is_true() { self.evaluate(b)? } else { a }
            }
            Kind::Or(a, b) => {
                let a = self.evaluate(a)?;
                if a.is_true() { a } else { self.evaluate(b)? }
            }
            Kind::Condition {
                test,
                then,
                otherwise,
            } => {
                if self.evaluate(test)?.is_true() {
                    self.evaluate(then)?
                } else {
                    match otherwise {
                        Some(otherwise) => self.evaluate(otherwise)?,
                        None => Value::undefined("the missing else of a condition"),
                    }
                }
            }
        })
    }

    fn name(&self, name: &Arc<str>) -> Value {
        match self.lookup(name) {
            Some(value) => value,
            None if is_function(name) => Value::Function(name.clone()),
            None => Value::Undefined(name.clone()),
        }
    }

    fn evaluate_all(&mut self, expressions: &[Expr]) -> Outcome<Vec<Value>> {
        expressions
            .iter()
            .map(|expression| self.evaluate(expression))
            .collect()
    }

    /// Evaluates the arguments of a call.
    pub(super) fn arguments(&mut self, arguments: &Arguments) -> Outcome<Args> {
        let positional = self.evaluate_all(&arguments.positional)?;
        let named = arguments
            .named
            .iter()
            .map(|(name, value)| Ok((name.clone(), self.evaluate(value)?)));
        Ok(Args {
            positional,
            named: named.collect::<Outcome<_>>()?,
        })
    }

    /// Puts a value through filters, left to right.
    pub(super) fn apply_filters(
        &mut self,
        filters: &[(Arc<str>, Arguments)],
        value: Value,
    ) -> Outcome<Value> {
        filters.iter().try_fold(value, |value, (name, arguments)| {
            let args = self.arguments(arguments)?;
            self.filter(name, &value, &args)
        })
    }

    fn dict(&mut self, entries: &[(Expr, Expr)]) -> Outcome<Value> {
        let mut pairs = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let key = self.evaluate(key)?;
            pairs.push((key, self.evaluate(value)?));
        }
        self.distinct_dict(pairs)
    }

    /// A dict where later entries replace earlier ones of the same key.
    pub(super) fn distinct_dict(&mut self, pairs: Vec<(Value, Value)>) -> Outcome<Value> {
        let mut entries: Vec<(Value, Value)> = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            if matches!(key, Value::List(_) | Value::Dict(_)) {
                return fault!("unhashable type: '{}'", key.type_name());
            }
            self.budget
                .pay(1 + entries.len() as u64 * key.weight() / 8)?;
            match entries
                .iter_mut()
                .find(|(other, _)| python::equal(other, &key))
            {
                Some((_, old)) => *old = value,
                None => entries.push((key, value)),
            }
        }
        Value::dict(entries)
    }

    fn concat(&mut self, parts: &[Expr]) -> Outcome<Value> {
        let mut text = TextBuilder::default();
        for part in parts {
            let value = self.evaluate(part)?;
            text.push(&self.text(&value)?);
        }
        Ok(Value::Str(text.finish()))
    }

    fn compare_chain(&mut self, first: &Expr, rest: &[(Comparison, Expr)]) -> Outcome<Value> {
        let mut left = self.evaluate(first)?;
        for (comparison, expression) in rest {
            let right = self.evaluate(expression)?;
            if !self.compare(*comparison, &left, &right)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    fn call(&mut self, callee: &Expr, arguments: &Arguments) -> Outcome<Value> {
        if let Kind::Attribute(subject, name) = &callee.kind {
            let subject = self.evaluate(subject)?;
            let args = self.arguments(arguments)?;
            return self.method(&subject, name, &args);
        }
        let callee = self.evaluate(callee)?;
        let args = self.arguments(arguments)?;
        match &callee {
            Value::Macro(definition, visible) => self.call_macro(definition, *visible, &args),
            Value::Function(name) => self.function(name, &args),
            Value::Undefined(name) => fault!("'{name}' is undefined"),
            other => fault!("'{}' object is not callable", other.type_name()),
        }
    }

    /// `subject.name`: methods of the type first, then items of that name, as Jinja looks.
    pub(super) fn attribute(&mut self, subject: &Value, name: &Arc<str>) -> Outcome<Value> {
        Ok(match subject {
            Value::Undefined(missing) => return fault!("'{missing}' is undefined"),
            Value::Dict(_) if methods::is_dict_method(name) => Value::Function(name.clone()),
            Value::Dict(dict) => {
                self.budget.pay(dict.entries.len() as u64 / 8)?;
                dict.get_str(name)
                    .cloned()
                    .unwrap_or_else(|| Value::Undefined(name.clone()))
            }
            Value::Namespace(namespace) => {
                self.budget
                    .pay(namespace.attributes.borrow().len() as u64 / 8)?;
                namespace
                    .get(name)
                    .unwrap_or_else(|| Value::Undefined(name.clone()))
            }
            Value::Loop(state) => methods::loop_attribute(state, name),
            Value::Macro(definition, _) if **name == *"name" => Value::own(definition.name.clone()),
            _ => Value::Undefined(name.clone()),
        })
    }

    /// `subject[key]`: items first, then attributes.
    pub(super) fn item(&mut self, subject: &Value, key: &Value) -> Outcome<Value> {
        let missing = |key: &Value| Value::undefined(python::text(key).shared().clone());
        self.budget.pay(key.weight())?;
        Ok(match (subject, key) {
            (Value::Undefined(name), _) => return fault!("'{name}' is undefined"),
            (Value::Dict(dict), key) => {
                self.budget
                    .pay((dict.entries.len() as u64 / 8).saturating_mul(key.weight()))?;
                let found = dict
                    .entries
                    .iter()
                    .find(|(other, _)| python::equal(other, key));
                match (found, key) {
                    (Some((_, value)), _) => value.clone(),
                    (None, Value::Str(name)) => self.attribute(subject, name.shared())?,
                    _ => missing(key),
                }
            }
            (Value::List(sequence) | Value::Tuple(sequence), key) => match key.as_int() {
                Some(index) => position(index, sequence.items.len())
                    .map_or_else(|| missing(key), |index| sequence.items[index].clone()),
                None => missing(key),
            },
            (Value::Str(text), key) => match key.as_int() {
                Some(index) => {
                    self.budget.pay_bytes(text.len())?;
                    let index = position(index, text.chars().count());
                    let found = index.and_then(|index| text.char_indices().nth(index));
                    let part = |(at, c): (usize, char)| text.part(&text[at..at + c.len_utf8()]);
                    found.map_or_else(|| missing(key), |found| Value::Str(part(found)))
                }
                None => missing(key),
            },
            (subject, Value::Str(name)) => self.attribute(subject, name.shared())?,
            (_, key) => missing(key),
        })
    }
}

/// A Python index, from the end where it is negative.
fn position(index: i64, len: usize) -> Option<usize> {
    let from_start = if index < 0 {
        index.checked_add(i64::try_from(len).ok()?)?
    } else {
        index
    };
    usize::try_from(from_start)
        .ok()
        .filter(|position| *position < len)
}
