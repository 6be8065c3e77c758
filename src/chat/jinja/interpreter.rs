//! Running statements.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value as Json;

use super::TemplateError;
use super::arguments::Args;
use super::ast::{For, Macro, Statement, StatementKind, Target};
use super::budget::{Budget, MAX_DEPTH};
use super::error::{Fault, Outcome, fault};
use super::parser::Template;
use super::python;
use super::text::{Text, TextBuilder};
use super::value::{Loop, Sequence, Value};

/// The template's variables by name.
pub(in crate::chat) type Variables = serde_json::Map<String, Json>;

/// Renders a template; `now` is the moment that `strftime_now` shows.
pub(in crate::chat) fn render(
    template: &Template,
    variables: &Variables,
    now: SystemTime,
) -> Result<Text, TemplateError> {
    let mut scope = Scope::new();
    let mut weight = 0_u64;
    for (name, json) in variables {
        let value = variable(name, json).map_err(|fault| located(fault, 1, 0))?;
        weight = weight.saturating_add(value.weight());
        scope.insert(name.as_str().into(), value);
    }
    let mut interpreter = Interpreter {
        scopes: vec![scope],
        budget: Budget::for_weight(weight),
        out: TextBuilder::default(),
        now,
        line: 1,
    };
    match interpreter.run(&template.body) {
        Ok(_) => Ok(interpreter.out.finish()),
        Err(fault) => Err(located(fault, interpreter.line, interpreter.budget.limit())),
    }
}

/// A variable's value, its texts foreign. The names of roles and tokens are the template's own: templates make marks of
/// them, as in `'<|' + message.role + '|>'`.
fn variable(name: &str, json: &Json) -> Outcome<Value> {
    match json {
        Json::Array(messages) if name == "messages" => {
            let messages = messages.iter().map(message);
            Value::list(messages.collect::<Outcome<_>>()?)
        }
        Json::String(token) if name.ends_with("_token") => Ok(Value::own(token.as_str())),
        json => Value::from_json(json, |text| Text::foreign(text)),
    }
}

fn message(json: &Json) -> Outcome<Value> {
    let Json::Object(fields) = json else {
        return Value::from_json(json, |text| Text::foreign(text));
    };
    let is_name = |role: &str| {
        role.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    let entry = |(key, value): (&String, &Json)| {
        let value = match value {
            Json::String(role) if key == "role" && is_name(role) => Value::own(role.as_str()),
            value => Value::from_json(value, |text| Text::foreign(text))?,
        };
        Ok((Value::Str(Text::foreign(key.as_str())), value))
    };
    Value::dict(fields.iter().map(entry).collect::<Outcome<_>>()?)
}

fn located(fault: Fault, line: u32, steps: u64) -> TemplateError {
    match fault {
        Fault::Raised(message) => TemplateError::Raised { message },
        Fault::Work => TemplateError::TooMuchWork { line, limit: steps },
        Fault::Depth => TemplateError::TooDeep {
            line,
            limit: MAX_DEPTH,
        },
        Fault::Other(message) => TemplateError::Render { line, message },
    }
}

type Scope = HashMap<Arc<str>, Value>;

/// How a statement ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// A rendering on its way.
pub(super) struct Interpreter {
    scopes: Vec<Scope>,
    pub(super) budget: Budget,
    out: TextBuilder,
    pub(super) now: SystemTime,
    /// Of the statement that runs, for messages.
    line: u32,
}

impl Interpreter {
    /// Looks a name up, innermost scope first.
    pub(super) fn lookup(&self, name: &str) -> Option<Value> {
        self.scopes
            .iter()
            .rev()
            .find_map(|scope| scope.get(name))
            .cloned()
    }

    /// A value as text, paid for.
    pub(super) fn text(&mut self, value: &Value) -> Outcome<Text> {
        self.budget.pay(value.weight())?;
        Ok(python::text(value))
    }

    fn run(&mut self, body: &[Statement]) -> Outcome<Flow> {
        for statement in body {
            self.line = statement.line;
            self.budget.enter()?;
            let flow = self.statement(&statement.kind)?;
            self.budget.leave();
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, kind: &StatementKind) -> Outcome<Flow> {
        match kind {
            StatementKind::Text(text) => {
                self.budget.pay_bytes(text.len())?;
                self.out.push_own(text);
            }
            StatementKind::Print(expression) => {
                let value = self.evaluate(expression)?;
                let text = self.text(&value)?;
                self.print(&text)?;
            }
            StatementKind::Set(target, expression) => {
                let value = self.evaluate(expression)?;
                self.assign(target, value)?;
            }
            StatementKind::SetBlock(target, filters, body) => {
                let text = self.capture(body)?;
                let value = self.apply_filters(filters, Value::Str(text))?;
                self.assign(target, value)?;
            }
            StatementKind::If {
                branches,
                otherwise,
            } => {
                for (condition, body) in branches {
                    if self.evaluate(condition)?.is_true() {
                        return self.run(body);
                    }
                }
                return self.run(otherwise);
            }
            StatementKind::For(statement) => self.for_loop(statement)?,
            StatementKind::With(bindings, body) => {
                self.scopes.push(Scope::new());
                for (target, expression) in bindings {
                    let value = self.evaluate(expression)?;
                    self.assign(target, value)?;
                }
                let flow = self.run(body)?;
                self.scopes.pop();
                return Ok(flow);
            }
            StatementKind::Macro(definition) => {
                let value = Value::Macro(definition.clone(), self.scopes.len());
                self.assign(&Target::Name(definition.name.clone()), value)?;
            }
            StatementKind::FilterBlock(filters, body) => {
                let text = self.capture(body)?;
                let value = self.apply_filters(filters, Value::Str(text))?;
                let text = self.text(&value)?;
                self.print(&text)?;
            }
            StatementKind::Break => return Ok(Flow::Break),
            StatementKind::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, text: &Text) -> Outcome<()> {
        self.budget.pay_bytes(text.len())?;
        self.out.push(text);
        Ok(())
    }

    fn capture(&mut self, body: &[Statement]) -> Outcome<Text> {
        let outer = std::mem::take(&mut self.out);
        self.run(body)?;
        Ok(std::mem::replace(&mut self.out, outer).finish())
    }

    fn assign(&mut self, target: &Target, value: Value) -> Outcome<()> {
        match target {
            Target::Name(name) => {
                if let Some(scope) = self.scopes.last_mut() {
                    scope.insert(name.clone(), value);
                }
                Ok(())
            }
            Target::Attribute(name, attribute) => match self.lookup(name) {
                Some(Value::Namespace(namespace)) => {
                    self.budget
                        .pay(namespace.attributes.borrow().len() as u64 / 8)?;
                    namespace.set(attribute, value)
                }
                _ => fault!(
                    "'{name}' is not a namespace, so its attribute '{attribute}' cannot be set"
                ),
            },
            Target::Tuple(targets) => {
                self.pay_for_items(&value)?;
                let items = value.items()?;
                if items.len() != targets.len() {
                    return fault!(
                        "{} values cannot be unpacked into {} names",
                        items.len(),
                        targets.len()
                    );
                }
                targets
                    .iter()
                    .zip(items)
                    .try_for_each(|(target, item)| self.assign(target, item))
            }
        }
    }

    fn for_loop(&mut self, statement: &For) -> Outcome<()> {
        let iterable = self.evaluate(&statement.iterable)?;
        self.pay_for_items(&iterable)?;
        let items = self.filtered(statement, iterable.items()?)?;
        if items.is_empty() {
            return self.run(&statement.otherwise).map(|_| ());
        }
        let items = Sequence::new(items)?;
        for (index, item) in items.items.iter().enumerate() {
            let state = Loop {
                index,
                items: items.clone(),
            };
            self.scopes
                .push(Scope::from([("loop".into(), Value::Loop(Rc::new(state)))]));
            self.assign(&statement.target, item.clone())?;
            let flow = self.run(&statement.body)?;
            self.scopes.pop();
            if flow == Flow::Break {
                break;
            }
        }
        Ok(())
    }

    fn filtered(&mut self, statement: &For, items: Vec<Value>) -> Outcome<Vec<Value>> {
        let Some(filter) = &statement.filter else {
            return Ok(items);
        };
        let mut kept = Vec::new();
        for item in items {
            self.scopes.push(Scope::new());
            self.assign(&statement.target, item.clone())?;
            if self.evaluate(filter)?.is_true() {
                kept.push(item);
            }
            self.scopes.pop();
        }
        Ok(kept)
    }

    /// Runs a macro in the scopes that it was defined in.
    pub(super) fn call_macro(
        &mut self,
        definition: &Macro,
        visible: usize,
        args: &Args,
    ) -> Outcome<Value> {
        let Macro {
            name,
            parameters,
            body,
        } = definition;
        if args.positional.len() > parameters.len() {
            return fault!(
                "macro '{name}' takes not more than {} arguments",
                parameters.len()
            );
        }
        let known = |name: &str| parameters.iter().any(|(parameter, _)| **parameter == *name);
        if let Some((unknown, _)) = args.named.iter().find(|(name, _)| !known(name)) {
            return fault!("macro '{name}' takes no keyword argument '{unknown}'");
        }
        let hidden = self.scopes.split_off(visible.min(self.scopes.len()));
        self.scopes.push(Scope::new());
        for (index, (parameter, default)) in parameters.iter().enumerate() {
            let named = args.named.iter().find(|(name, _)| name == parameter);
            let given = args
                .positional
                .get(index)
                .or(named.map(|(_, value)| value))
                .cloned();
            let value = match (given, default) {
                (Some(value), _) => value,
                (None, Some(default)) => self.evaluate(default)?,
                (None, None) => Value::undefined(parameter.clone()),
            };
            self.assign(&Target::Name(parameter.clone()), value)?;
        }
        let text = self.capture(body)?;
        self.scopes.pop();
        self.scopes.extend(hidden);
        Ok(Value::Str(text))
    }
}
