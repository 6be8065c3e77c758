//! Conversations: messages and the templates that turn them into prompts.

mod jinja;
mod message;
mod output;
mod rendered;
mod session;
mod template;
mod tool_prompt;
mod voice;

pub use jinja::TemplateError;
pub use message::{Content, Message, Role};
pub use output::{
    OutputDelta, OutputFormat, OutputParser, ParsedOutput, ReasoningMarkers, ToolCall,
    ToolCallFormat,
};
pub use rendered::RenderedPrompt;
pub use session::{ChatSession, ChatStream};
pub use template::{ChatTemplate, RenderInput};
