//! Tests: what stands after `is`.

use super::arguments::Args;
use super::ast::Comparison;
use super::error::{Outcome, fault};
use super::filters::is_filter;
use super::interpreter::Interpreter;
use super::python;
use super::value::Value;

impl Interpreter {
    /// Whether a value passes a test.
    pub(super) fn test(&mut self, name: &str, value: &Value, args: &Args) -> Outcome<bool> {
        let comparison = match name {
            "eq" | "equalto" => Some(Comparison::Equal),
            "ne" => Some(Comparison::NotEqual),
            "lt" | "lessthan" => Some(Comparison::Less),
            "le" => Some(Comparison::LessEqual),
            "gt" | "greaterthan" => Some(Comparison::Greater),
            "ge" => Some(Comparison::GreaterEqual),
            "in" => Some(Comparison::In),
            _ => None,
        };
        if let Some(comparison) = comparison {
            let [other] = args.bind(name, [("other", None)])?;
            return self.compare(comparison, value, &other);
        }
        if let "divisibleby" | "sameas" = name {
            let [other] = args.bind(name, [("other", None)])?;
            if name == "sameas" {
                self.budget
                    .pay(value.comparison_weight().min(other.comparison_weight()))?;
                return Ok(value.type_name() == other.type_name() && python::equal(value, &other));
            }
            return Ok(!self.arithmetic("%", value, &other)?.is_true());
        }
        let [] = args.bind(name, [])?;
        self.plain_test(name, value)
    }

    fn plain_test(&mut self, name: &str, value: &Value) -> Outcome<bool> {
        let (text, has_len) = (value.as_str(), value.len().is_ok());
        self.budget.pay_bytes(text.map_or(0, str::len))?;
        Ok(match name {
            "defined" => !matches!(value, Value::Undefined(_)),
            "undefined" => matches!(value, Value::Undefined(_)),
            "none" => matches!(value, Value::None),
            "boolean" => matches!(value, Value::Bool(_)),
            "true" => matches!(value, Value::Bool(true)),
            "false" => matches!(value, Value::Bool(false)),
            "integer" => matches!(value, Value::Int(_)),
            "float" => matches!(value, Value::Float(_)),
            "number" => value.as_float().is_some(),
            "string" => text.is_some(),
            "mapping" => matches!(value, Value::Dict(_)),
            "sequence" | "iterable" => has_len,
            "callable" => matches!(value, Value::Macro(..) | Value::Function(_)),
            "odd" => self.arithmetic("%", value, &Value::Int(2))?.is_true(),
            "even" => !self.arithmetic("%", value, &Value::Int(2))?.is_true(),
            "lower" => text.is_some_and(|text| {
                text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
            }),
            "upper" => text.is_some_and(|text| {
                text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
            }),
            "filter" => text.is_some_and(is_filter),
            "escaped" => false,
            _ => return fault!("no test named '{name}'"),
        })
    }
}
