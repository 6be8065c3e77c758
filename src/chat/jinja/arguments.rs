//! Evaluated arguments and their binding to parameters.

use std::sync::Arc;

use super::error::{Outcome, fault};
use super::text::Text;
use super::value::Value;

/// What a function, method, filter or test was called with.
#[derive(Clone, Debug, Default)]
pub(super) struct Args {
    pub(super) positional: Vec<Value>,
    pub(super) named: Vec<(Arc<str>, Value)>,
}

impl Args {
    /// Gives each parameter its value; those without a default are required.
    pub(super) fn bind<const N: usize>(
        &self,
        function: &str,
        parameters: [(&str, Option<Value>); N],
    ) -> Outcome<[Value; N]> {
        if self.positional.len() > N {
            return fault!(
                "{function}() takes at most {N} arguments, {} given",
                self.positional.len()
            );
        }
        let known = |name: &str| parameters.iter().any(|(parameter, _)| *parameter == name);
        if let Some((name, _)) = self.named.iter().find(|(name, _)| !known(name)) {
            return fault!("{function}() got an unexpected keyword argument '{name}'");
        }
        let mut missing = None;
        let mut index = 0;
        let bound = parameters.map(|(parameter, default)| {
            let named = self.named.iter().find(|(name, _)| **name == *parameter);
            let given = self
                .positional
                .get(index)
                .or(named.map(|(_, value)| value))
                .cloned();
            index += 1;
            given.or(default).unwrap_or_else(|| {
                missing = Some(parameter);
                Value::None
            })
        });
        match missing {
            Some(parameter) => fault!("{function}() missing required argument '{parameter}'"),
            None => Ok(bound),
        }
    }
}

/// The text that an argument must be.
pub(super) fn expect_str<'v>(function: &str, value: &'v Value) -> Outcome<&'v Text> {
    match value {
        Value::Str(text) => Ok(text),
        Value::Undefined(name) => fault!("'{name}' is undefined"),
        other => fault!("{function}() expects a string, not {}", other.type_name()),
    }
}

/// The integer that an argument must be.
pub(super) fn expect_int(function: &str, value: &Value) -> Outcome<i64> {
    match value.as_int() {
        Some(value) => Ok(value),
        None => fault!("{function}() expects an integer, not {}", value.type_name()),
    }
}
