//! What a model's answer is made of: thoughts, content, calls of tools.
//!
//! Models write all three as one text, each family with markers of its own. [`OutputFormat`] says which,
//! [`OutputParser`] takes the text apart while it arrives, [`ParsedOutput`] is all of it. A bare JSON call and a marker
//! are told from content as early as can be, and nothing is shown before: a stream never has half a marker in it.

mod body;
mod buffered;
mod call;
mod delta;
mod format;
mod json_calls;
mod json_value;
mod marker;
mod named;
mod parser;
mod tools;

pub use call::ToolCall;
pub use delta::{OutputDelta, ParsedOutput};
pub use format::{OutputFormat, ReasoningMarkers, ToolCallFormat};
pub use parser::OutputParser;
