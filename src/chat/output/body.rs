//! What stands behind the marker of a call.

use super::ToolCallFormat;
use super::buffered::{BufferedCall, Syntax};
use super::delta::Sink;
use super::json_calls::JsonCalls;
use super::named::NamedCall;
use super::tools::Tools;

/// What a body reads with.
pub(super) struct Context<'a> {
    pub(super) sink: &'a mut Sink,
    pub(super) tools: &'a Tools,
}

/// How far a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It goes on.
    More,
    /// It is complete.
    Done,
    /// It is no call.
    Broken,
}

/// One call or a list of calls, in one of the ways to write them.
#[derive(Debug)]
pub(super) enum Body {
    Json(JsonCalls),
    Named(NamedCall),
    Buffered(BufferedCall),
}

impl Body {
    /// The body that begins with `first`, which is no white space.
    pub(super) fn new(format: ToolCallFormat, first: char) -> Self {
        let json = || Self::Json(JsonCalls::new(false));
        let named = || Self::Named(NamedCall::new(format));
        match (format, first) {
            (ToolCallFormat::FunctionTag | ToolCallFormat::Functionary, _) => named(),
            (ToolCallFormat::Hermes, '<') => Self::Buffered(BufferedCall::new(Syntax::Xml)),
            (ToolCallFormat::Llama3, c) if c.is_alphabetic() => {
                Self::Buffered(BufferedCall::new(Syntax::Python))
            }
            (ToolCallFormat::Mistral, c) if c.is_alphabetic() || c == '_' => named(),
            _ => json(),
        }
    }

    /// JSON without a marker.
    pub(super) fn bare() -> Self {
        Self::Json(JsonCalls::new(true))
    }

    pub(super) fn push(&mut self, c: char, context: &mut Context<'_>) -> Status {
        match self {
            Self::Json(calls) => calls.push(c, context),
            Self::Named(call) => call.push(c, context),
            Self::Buffered(call) => call.push(c, context),
        }
    }
}

/// Whether `name` can be a tool's.
pub(super) fn is_tool_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_alphanumeric() || "_-./:".contains(c);
    !name.is_empty() && name.chars().all(is_allowed)
}
