//! Filters on sequences.

use std::sync::Arc;

use super::arguments::{Args, expect_int, expect_str};
use super::error::{Outcome, fault};
use super::interpreter::Interpreter;
use super::python;
use super::text::TextBuilder;
use super::value::Value;

impl Interpreter {
    /// `value|name(args)` for the filters that read items.
    pub(super) fn sequence_filter(
        &mut self,
        name: &str,
        value: &Value,
        args: &Args,
    ) -> Outcome<Value> {
        if !super::filters::is_filter(name) {
            return fault!("no filter named '{name}'");
        }
        if name == "dictsort" {
            return self.dictsort(value, args);
        }
        self.pay_for_items(value)?;
        if let ("reverse", Value::Str(_)) = (name, value) {
            let chars = value.items()?.into_iter().rev();
            let chars = chars.filter_map(|c| match c {
                Value::Str(c) => Some(c),
                _ => None,
            });
            return Ok(Value::Str(chars.collect::<TextBuilder>().finish()));
        }
        // What is false has no items to these, whatever it is.
        let skips_false = ["map", "select", "reject", "selectattr", "rejectattr"];
        let mut items = match value {
            Value::None | Value::Bool(false) if skips_false.contains(&name) => Vec::new(),
            value => value.items()?,
        };
        match name {
            "list" => Value::list(items),
            "reverse" => {
                items.reverse();
                Value::list(items)
            }
            "first" | "last" => {
                let end = if name == "first" {
                    items.first()
                } else {
                    items.last()
                };
                Ok(end.cloned().unwrap_or_else(|| {
                    Value::undefined(format!("the {name} of an empty sequence"))
                }))
            }
            "join" => self.join_filter(&items, args),
            "map" => self.map(&items, args),
            "select" | "reject" | "selectattr" | "rejectattr" => self.select(name, items, args),
            "sum" => {
                let [attribute, start] = args.bind(
                    name,
                    [
                        ("attribute", Some(Value::None)),
                        ("start", Some(Value::Int(0))),
                    ],
                )?;
                items.iter().try_fold(start, |sum, item| {
                    let value = self.path(item, &attribute, None)?;
                    self.arithmetic("+", &sum, &value)
                })
            }
            "sort" | "min" | "max" | "unique" | "groupby" => self.ordered(name, &items, args),
            _ => self.batch(&items, args),
        }
    }

    /// Pays for what [`Value::items`] takes.
    pub(super) fn pay_for_items(&mut self, value: &Value) -> Outcome<()> {
        match value {
            // Every character becomes a value of its own.
            Value::Str(text) => self.budget.pay(text.len() as u64),
            value => self.budget.pay_items(value.len().unwrap_or(0)),
        }
    }

    /// Follows a dotted path, or stays where it is `None`; the default stands in for each step that is missing.
    fn path(&mut self, value: &Value, path: &Value, default: Option<&Value>) -> Outcome<Value> {
        let steps: Vec<Value> = match path {
            Value::None => Vec::new(),
            Value::Int(_) => vec![path.clone()],
            path => {
                let steps = expect_str("attribute", path)?.split('.');
                steps
                    .map(|step| step.parse().map_or_else(|_| Value::own(step), Value::Int))
                    .collect()
            }
        };
        let mut found = value.clone();
        for step in steps {
            found = match (self.item(&found, &step)?, default) {
                (Value::Undefined(_), Some(default)) => default.clone(),
                (value, _) => value,
            };
        }
        Ok(found)
    }

    fn join_filter(&mut self, items: &[Value], args: &Args) -> Outcome<Value> {
        let [separator, attribute] = args.bind(
            "join",
            [
                ("d", Some(Value::own(""))),
                ("attribute", Some(Value::None)),
            ],
        )?;
        let separator = self.text(&separator)?;
        let mut joined = TextBuilder::default();
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.budget.pay_bytes(separator.len())?;
                joined.push(&separator);
            }
            let item = self.path(item, &attribute, None)?;
            joined.push(&self.text(&item)?);
        }
        Ok(Value::Str(joined.finish()))
    }

    fn map(&mut self, items: &[Value], args: &Args) -> Outcome<Value> {
        let named = |wanted: &str| {
            args.named
                .iter()
                .find(|(name, _)| **name == *wanted)
                .map(|(_, value)| value.clone())
        };
        let mut mapped = Vec::with_capacity(items.len());
        if let Some(attribute) = named("attribute") {
            let default = named("default");
            for item in items {
                mapped.push(self.path(item, &attribute, default.as_ref())?);
            }
        } else {
            let (filter, rest) = called("map", args)?;
            for item in items {
                self.budget.pay(1)?;
                mapped.push(self.filter(&filter, item, &rest)?);
            }
        }
        Value::list(mapped)
    }

    fn select(&mut self, name: &str, items: Vec<Value>, args: &Args) -> Outcome<Value> {
        let wanted = name.starts_with("select");
        let by_attribute = name.ends_with("attr");
        let (attribute, args) = if by_attribute {
            let Some((attribute, rest)) = args.positional.split_first() else {
                return fault!("{name} needs the name of an attribute");
            };
            let rest = Args {
                positional: rest.to_vec(),
                named: args.named.clone(),
            };
            (attribute.clone(), rest)
        } else {
            (Value::None, args.clone())
        };
        let test = if args.positional.is_empty() {
            None
        } else {
            Some(called(name, &args)?)
        };
        let mut kept = Vec::new();
        for item in items {
            self.budget.pay(1)?;
            let value = self.path(&item, &attribute, None)?;
            let passes = match &test {
                Some((test, rest)) => self.test(test, &value, rest)?,
                None => value.is_true(),
            };
            if passes == wanted {
                kept.push(item);
            }
        }
        Value::list(kept)
    }

    fn dictsort(&mut self, value: &Value, args: &Args) -> Outcome<Value> {
        let Value::Dict(dict) = value else {
            return fault!("dictsort expects a mapping, not {}", value.type_name());
        };
        let off = || Some(Value::Bool(false));
        let [cased, by, reverse] = args.bind(
            "dictsort",
            [
                ("case_sensitive", off()),
                ("by", Some(Value::own("key"))),
                ("reverse", off()),
            ],
        )?;
        let by_value = by.as_str() == Some("value");
        let entries = dict.entries.iter().cloned();
        let keyed = entries.map(|(key, value)| {
            let sort_key = if by_value { value.clone() } else { key.clone() };
            Ok((
                folded(sort_key, cased.is_true()),
                Value::tuple(vec![key, value])?,
            ))
        });
        let sorted = self.sorted(keyed.collect::<Outcome<_>>()?, reverse.is_true())?;
        Value::list(sorted.into_iter().map(|(_, pair)| pair).collect())
    }

    fn ordered(&mut self, name: &str, items: &[Value], args: &Args) -> Outcome<Value> {
        let off = || Some(Value::Bool(false));
        let attribute = ("attribute", Some(Value::None));
        let [reverse, cased, attribute] = match name {
            "sort" => args.bind(
                name,
                [("reverse", off()), ("case_sensitive", off()), attribute],
            )?,
            "groupby" => {
                let [attribute] = args.bind(name, [("attribute", None)])?;
                [Value::None, Value::Bool(true), attribute]
            }
            _ => {
                let [cased, attribute] = args.bind(name, [("case_sensitive", off()), attribute])?;
                [Value::None, cased, attribute]
            }
        };
        let mut keyed = Vec::with_capacity(items.len());
        for item in items {
            let key = self.path(item, &attribute, None)?;
            keyed.push((folded(key, cased.is_true()), item.clone()));
        }
        if name == "unique" {
            return self.unique(keyed);
        }
        let sorted = self.sorted(keyed, reverse.is_true())?;
        match name {
            "sort" => Value::list(sorted.into_iter().map(|(_, item)| item).collect()),
            "groupby" => groups(&sorted),
            _ => {
                let end = if name == "min" {
                    sorted.first()
                } else {
                    // Of equal items the first, as Python's `max` gives.
                    let last = sorted.last();
                    sorted
                        .iter()
                        .find(|(key, _)| last.is_some_and(|(last, _)| python::equal(key, last)))
                };
                Ok(end.map_or_else(
                    || Value::undefined(format!("the {name} of an empty sequence")),
                    |(_, item)| item.clone(),
                ))
            }
        }
    }

    /// By key; pays for the comparisons first.
    fn sorted(
        &mut self,
        keyed: Vec<(Value, Value)>,
        reverse: bool,
    ) -> Outcome<Vec<(Value, Value)>> {
        let weights = keyed.iter().map(|(key, _)| key.comparison_weight());
        let round = weights.fold(0, u64::saturating_add);
        self.budget
            .pay(round.saturating_mul(u64::from(keyed.len().max(2).ilog2())))?;
        python::sorted(keyed, &|(key, _)| key, reverse)
    }

    fn unique(&mut self, keyed: Vec<(Value, Value)>) -> Outcome<Value> {
        let mut kept: Vec<(Value, Value)> = Vec::new();
        for (key, item) in keyed {
            self.budget
                .pay(1 + (kept.len() as u64).saturating_mul(key.weight()) / 8)?;
            if !kept.iter().any(|(other, _)| python::equal(other, &key)) {
                kept.push((key, item));
            }
        }
        Value::list(kept.into_iter().map(|(_, item)| item).collect())
    }

    fn batch(&mut self, items: &[Value], args: &Args) -> Outcome<Value> {
        let [count, fill] = args.bind(
            "batch",
            [("linecount", None), ("fill_with", Some(Value::None))],
        )?;
        let Some(count) = usize::try_from(expect_int("batch", &count)?)
            .ok()
            .filter(|count| *count > 0)
        else {
            return fault!("batch() expects a positive size");
        };
        let rows = items.chunks(count).map(|row| {
            let mut row = row.to_vec();
            if !matches!(fill, Value::None) {
                self.budget.pay((count - row.len()) as u64)?;
                row.resize(count, fill.clone());
            }
            Value::list(row)
        });
        let rows = rows.collect::<Outcome<_>>()?;
        Value::list(rows)
    }
}

/// The name in the first argument, and the rest.
fn called(caller: &str, args: &Args) -> Outcome<(Arc<str>, Args)> {
    let Some((name, rest)) = args.positional.split_first() else {
        return fault!("{caller} needs the name of a filter or test");
    };
    let rest = Args {
        positional: rest.to_vec(),
        named: args.named.clone(),
    };
    Ok((expect_str(caller, name)?.shared().clone(), rest))
}

fn folded(key: Value, case_sensitive: bool) -> Value {
    match key {
        Value::Str(text) if !case_sensitive => Value::own(text.to_lowercase()),
        key => key,
    }
}

/// Runs of equal keys as `(key, items)`.
fn groups(sorted: &[(Value, Value)]) -> Outcome<Value> {
    let runs = sorted
        .chunk_by(|a, b| python::equal(&a.0, &b.0))
        .map(|run| {
            let items = Value::list(run.iter().map(|(_, item)| item.clone()).collect())?;
            Value::tuple(vec![run[0].0.clone(), items])
        });
    Value::list(runs.collect::<Outcome<_>>()?)
}
