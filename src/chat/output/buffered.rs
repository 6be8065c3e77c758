//! Calls that can only be read when they are complete: arguments as XML or as Python writes them.

use serde_json::{Map, Value as Json};

use super::body::{Context, Status, is_tool_name};
use super::tools::Tools;

/// A call that is gathered until it ends.
#[derive(Debug)]
pub(super) struct BufferedCall {
    syntax: Syntax,
    text: String,
    in_text: bool,
    is_escaped: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Syntax {
    /// `<function=NAME><parameter=KEY>VALUE</parameter>…</function>`
    Xml,
    /// `NAME.call(KEY=VALUE, …)`, values in JSON.
    Python,
}

impl BufferedCall {
    pub(super) fn new(syntax: Syntax) -> Self {
        Self {
            syntax,
            text: String::new(),
            in_text: false,
            is_escaped: false,
        }
    }

    pub(super) fn push(&mut self, c: char, context: &mut Context<'_>) -> Status {
        self.text.push(c);
        let is_complete = match self.syntax {
            Syntax::Xml => self.text.ends_with("</function>"),
            Syntax::Python => self.closes(c),
        };
        if !is_complete {
            return Status::More;
        }
        let read = match self.syntax {
            Syntax::Xml => xml(&self.text, context.tools),
            Syntax::Python => python(&self.text),
        };
        let Some((name, arguments)) = read else {
            return Status::Broken;
        };
        context.sink.call(None, &name);
        context.sink.arguments(&Json::Object(arguments).to_string());
        Status::Done
    }

    /// Whether `c` is the parenthesis that closes the call.
    fn closes(&mut self, c: char) -> bool {
        if self.in_text {
            self.in_text = c != '"' || self.is_escaped;
            self.is_escaped = c == '\\' && !self.is_escaped;
            return false;
        }
        self.in_text = c == '"';
        c == ')'
    }
}

fn xml(text: &str, tools: &Tools) -> Option<(String, Map<String, Json>)> {
    let rest = text
        .strip_prefix("<function=")?
        .strip_suffix("</function>")?;
    let (name, mut rest) = rest.split_once('>')?;
    let name = name.trim();
    let mut arguments = Map::new();
    while let Some((_, parameter)) = rest.split_once("<parameter=") {
        let (key, body) = parameter.split_once('>')?;
        let (value, after) = body.split_once("</parameter>")?;
        let value = value.strip_prefix('\n').unwrap_or(value);
        let value = value.strip_suffix('\n').unwrap_or(value);
        let json = match tools.is_text(name, key) {
            Some(true) => None,
            _ => serde_json::from_str(value).ok(),
        };
        arguments.insert(key.to_owned(), json.unwrap_or_else(|| value.into()));
        rest = after;
    }
    is_tool_name(name).then(|| (name.to_owned(), arguments))
}

fn python(text: &str) -> Option<(String, Map<String, Json>)> {
    let (name, rest) = text.split_once('(')?;
    let name = name.strip_suffix(".call").unwrap_or(name);
    let mut rest = rest.strip_suffix(')')?.trim();
    let mut arguments = Map::new();
    while !rest.is_empty() {
        let (key, value) = rest.split_once('=')?;
        let mut values = serde_json::Deserializer::from_str(value).into_iter::<Json>();
        let json = values.next()?.ok()?;
        arguments.insert(key.trim().to_owned(), json);
        let after = value[values.byte_offset()..].trim_start();
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
    }
    is_tool_name(name).then(|| (name.to_owned(), arguments))
}
