//! What comes out of the parser.

use super::ToolCall;
use super::call::fresh_id;
use crate::Message;

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutputDelta {
    /// More of what the model thinks before it answers.
    Reasoning(String),
    /// More of the answer.
    Content(String),
    /// A call of a tool begins.
    ToolCall {
        /// Its place among the calls of this answer.
        index: usize,
        /// What its result refers to.
        id: String,
        /// Which tool.
        name: String,
    },
    /// More of the arguments of a call, which are JSON once they are joined.
    Arguments {
        /// The call's place.
        index: usize,
        /// The text.
        text: String,
    },
}

/// A whole answer, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParsedOutput {
    /// What the model thought.
    pub reasoning: String,
    /// What it says.
    pub content: String,
    /// What it calls.
    pub tool_calls: Vec<ToolCall>,
}

impl ParsedOutput {
    /// Adds a piece.
    pub fn push(&mut self, delta: OutputDelta) {
        match delta {
            OutputDelta::Reasoning(text) => self.reasoning += &text,
            OutputDelta::Content(text) => self.content += &text,
            OutputDelta::ToolCall { id, name, .. } => self.tool_calls.push(ToolCall {
                id,
                name,
                arguments: String::new(),
            }),
            OutputDelta::Arguments { index, text } => {
                if let Some(call) = self.tool_calls.get_mut(index) {
                    call.arguments += &text;
                }
            }
        }
    }

    /// The answer as a message of the conversation.
    pub fn into_message(self) -> Message {
        let mut message = Message::assistant(self.content);
        if !self.reasoning.is_empty() {
            message.reasoning = Some(self.reasoning);
        }
        if !self.tool_calls.is_empty() {
            message.tool_calls = Some(self.tool_calls.iter().map(ToolCall::to_json).collect());
        }
        message
    }
}

/// Collects deltas, joining neighbours of one kind, and counts calls.
#[derive(Debug, Default)]
pub(super) struct Sink {
    deltas: Vec<OutputDelta>,
    calls: usize,
}

impl Sink {
    pub(super) fn take(&mut self) -> Vec<OutputDelta> {
        std::mem::take(&mut self.deltas)
    }

    pub(super) fn reasoning(&mut self, text: &str) {
        match self.deltas.last_mut() {
            _ if text.is_empty() => {}
            Some(OutputDelta::Reasoning(last)) => last.push_str(text),
            _ => self.deltas.push(OutputDelta::Reasoning(text.to_owned())),
        }
    }

    pub(super) fn content(&mut self, text: &str) {
        match self.deltas.last_mut() {
            _ if text.is_empty() => {}
            Some(OutputDelta::Content(last)) => last.push_str(text),
            _ => self.deltas.push(OutputDelta::Content(text.to_owned())),
        }
    }

    pub(super) fn call(&mut self, id: Option<String>, name: &str) {
        self.deltas.push(OutputDelta::ToolCall {
            index: self.calls,
            id: id.unwrap_or_else(fresh_id),
            name: name.to_owned(),
        });
        self.calls += 1;
    }

    /// More arguments of the last call.
    pub(super) fn arguments(&mut self, more: &str) {
        match self.deltas.last_mut() {
            _ if more.is_empty() => {}
            Some(OutputDelta::Arguments { text, .. }) => text.push_str(more),
            _ => self.deltas.push(OutputDelta::Arguments {
                index: self.calls.saturating_sub(1),
                text: more.to_owned(),
            }),
        }
    }

    /// One more letter of the arguments of the last call.
    pub(super) fn argument(&mut self, more: Option<char>) {
        if let Some(c) = more {
            self.arguments(c.encode_utf8(&mut [0; 4]));
        }
    }

    /// Number of calls begun.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }
}
