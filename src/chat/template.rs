//! Chat templates: from messages to the text of a prompt.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value as Json};

use super::jinja::{Template, TemplateError, Variables, render};
use super::message::Message;
use super::rendered::RenderedPrompt;

/// A model's chat template, parsed.
///
/// Renders to the byte what Hugging Face's `apply_chat_template` renders, with these differences:
/// `strftime_now` shows UTC where Python shows local time, and `recursive` loops, `call` blocks and template inheritance,
/// which no known chat template uses, are refused.
///
/// ```
/// use dino_llm::{ChatTemplate, Message, RenderInput};
///
/// let template = ChatTemplate::new("{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}")?;
/// let messages = [Message::user("Hello")];
/// let prompt = template.render(&RenderInput { messages: &messages, ..RenderInput::default() })?;
/// assert_eq!(prompt, "<user>Hello");
/// # Ok::<(), dino_llm::TemplateError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    template: Arc<Template>,
    source: Arc<str>,
}

/// What a template is rendered with.
#[derive(Clone, Debug, Default)]
pub struct RenderInput<'a> {
    /// The conversation.
    pub messages: &'a [Message],
    /// Tools that the model may call, as JSON schemas of functions; `None` where there are none.
    pub tools: Option<&'a [Json]>,
    /// Documents to answer from, each with `title` and `text`.
    pub documents: Option<&'a [Json]>,
    /// Ends the prompt where the assistant's answer begins.
    pub add_generation_prompt: bool,
    /// The text of the token that begins a sequence.
    pub bos_token: Option<&'a str>,
    /// The text of the token that ends a sequence.
    pub eos_token: Option<&'a str>,
    /// Further variables, such as `enable_thinking`; they replace those above.
    pub variables: Map<String, Json>,
    /// The moment that `strftime_now` shows; `None` is now.
    pub now: Option<SystemTime>,
}

impl ChatTemplate {
    /// Parses a template's source.
    ///
    /// # Errors
    /// [`TemplateError::TooLarge`], [`TemplateError::Syntax`], [`TemplateError::TooDeep`].
    pub fn new(source: &str) -> Result<Self, TemplateError> {
        Ok(Self {
            template: Arc::new(Template::parse(source)?),
            source: source.into(),
        })
    }

    /// The source, for looking at what a template supports.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of the prompt, which knows what of it the template wrote and what came with the conversation.
    ///
    /// The names of roles count as the template's where they are plain words, and so do variables named `…_token`.
    ///
    /// Time and memory are bounded by the input's size, whatever the template does.
    ///
    /// # Errors
    /// - [`TemplateError::Raised`]: the template refused the conversation;
    /// - [`TemplateError::Render`]: it used something that is not there;
    /// - [`TemplateError::TooMuchWork`], [`TemplateError::TooDeep`]: it went on without end.
    pub fn render(&self, input: &RenderInput<'_>) -> Result<RenderedPrompt, TemplateError> {
        let mut variables = Variables::new();
        let list = |items: Option<&[Json]>| items.map_or(Json::Null, |items| items.to_vec().into());
        let messages = input.messages.iter().map(Message::to_json);
        variables.insert("messages".to_string(), messages.collect());
        variables.insert("tools".to_string(), list(input.tools));
        variables.insert("documents".to_string(), list(input.documents));
        variables.insert(
            "add_generation_prompt".to_string(),
            input.add_generation_prompt.into(),
        );
        for (name, token) in [
            ("bos_token", input.bos_token),
            ("eos_token", input.eos_token),
        ] {
            if let Some(token) = token {
                variables.insert(name.to_string(), token.into());
            }
        }
        variables.extend(input.variables.clone());
        let now = input.now.unwrap_or_else(SystemTime::now);
        let (text, content) = render(&self.template, &variables, now)?.into_parts();
        Ok(RenderedPrompt::new(text, content))
    }
}
