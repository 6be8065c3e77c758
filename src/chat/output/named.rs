//! Calls that name the tool before JSON arguments.

use super::ToolCallFormat;
use super::body::{Context, Status, is_tool_name};
use super::json_value::{JsonValue, Step};

/// `NAME`, a separator, `{…}`.
#[derive(Debug)]
pub(super) struct NamedCall {
    format: ToolCallFormat,
    /// All before the arguments.
    header: String,
    arguments: Option<JsonValue>,
}

/// A longer header is no name.
const MOST_HEADER: usize = 256;

impl NamedCall {
    pub(super) fn new(format: ToolCallFormat) -> Self {
        Self {
            format,
            header: String::new(),
            arguments: None,
        }
    }

    pub(super) fn push(&mut self, c: char, context: &mut Context<'_>) -> Status {
        let Some(arguments) = &mut self.arguments else {
            return self.push_header(c, context);
        };
        match arguments.push(c) {
            Step::More(shown) => {
                context.sink.argument(shown);
                Status::More
            }
            Step::Done(shown) => {
                context.sink.argument(shown);
                Status::Done
            }
            Step::Over | Step::Broken => Status::Broken,
        }
    }

    fn push_header(&mut self, c: char, context: &mut Context<'_>) -> Status {
        if c != '{' {
            self.header.push(c);
            let is_open = self.header.len() < MOST_HEADER;
            return if is_open {
                Status::More
            } else {
                Status::Broken
            };
        }
        let (name, id) = split_header(self.format, &self.header);
        if !is_tool_name(name) {
            return Status::Broken;
        }
        context.sink.call(id.map(str::to_owned), name);
        context.sink.argument(Some(c));
        self.arguments = JsonValue::open(c).map(|(value, _)| value);
        Status::More
    }
}

/// The name and the id in what stands before the arguments.
fn split_header(format: ToolCallFormat, header: &str) -> (&str, Option<&str>) {
    let separator = match format {
        ToolCallFormat::FunctionTag => ">",
        ToolCallFormat::Functionary => "\n",
        _ => "[",
    };
    let name = header.split(separator).next().unwrap_or(header).trim();
    let id = header
        .split_once("[CALL_ID]")
        .map(|(_, rest)| rest.split('[').next().unwrap_or(rest).trim());
    (name, id.filter(|id| !id.is_empty()))
}
