//! Conversations: messages and the templates that turn them into prompts.

mod jinja;
mod message;
mod session;
mod template;

pub use jinja::TemplateError;
pub use message::{Content, Message, Role};
pub use session::{ChatSession, ChatStream};
pub use template::{ChatTemplate, RenderInput};
