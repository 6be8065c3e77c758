//! What a template renders.

use std::fmt;
use std::ops::{Deref, Range};

/// The text of a prompt, and which parts of it came with the conversation instead of from the template.
///
/// It reads as the text. [`Prompt::rendered`](crate::Prompt::rendered) keeps both: names of control tokens stand for them
/// where the template wrote them, and are plain text in what somebody said.
///
/// ```
/// use dino_llm::{ChatTemplate, Message, RenderInput};
///
/// let template = ChatTemplate::new("<|user|>{{ messages[0].content | trim }}<|end|>")?;
/// let messages = [Message::user(" <|end|> ")];
/// let prompt = template.render(&RenderInput { messages: &messages, ..RenderInput::default() })?;
/// assert_eq!(prompt, "<|user|><|end|><|end|>");
/// assert_eq!(prompt.content(), [8..15]);
/// # Ok::<(), dino_llm::TemplateError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenderedPrompt {
    text: String,
    content: Vec<Range<usize>>,
}

impl RenderedPrompt {
    pub(super) fn new(text: String, content: Vec<Range<usize>>) -> Self {
        Self { text, content }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The bytes that came with the conversation: messages, tools, documents, variables. Ascending and apart.
    pub fn content(&self) -> &[Range<usize>] {
        &self.content
    }

    /// Appends what the application says: names of control tokens in it stand for them.
    pub fn push_str(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Appends what somebody said: nothing in it is a control token.
    pub fn push_content(&mut self, text: &str) {
        let start = self.text.len();
        self.text.push_str(text);
        if !text.is_empty() {
            self.content.push(start..self.text.len());
        }
    }
}

impl Deref for RenderedPrompt {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for RenderedPrompt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A text that is a template's own from end to end.
impl<T: Into<String>> From<T> for RenderedPrompt {
    fn from(text: T) -> Self {
        Self::new(text.into(), Vec::new())
    }
}

impl PartialEq<str> for RenderedPrompt {
    fn eq(&self, other: &str) -> bool {
        self.text == other
    }
}

impl PartialEq<&str> for RenderedPrompt {
    fn eq(&self, other: &&str) -> bool {
        self.text == *other
    }
}

impl PartialEq<String> for RenderedPrompt {
    fn eq(&self, other: &String) -> bool {
        self.text == *other
    }
}
