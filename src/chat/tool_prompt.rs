//! Conversations with tools, as applications hold them, for any template.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::output::OutputFormat;
use super::{ChatTemplate, Content, Message, RenderInput, RenderedPrompt, Role, TemplateError};

impl ChatTemplate {
    /// Whether the template shows tools to the model.
    pub fn supports_tools(&self) -> bool {
        self.source().contains("tools")
    }

    /// How models with this template write thoughts and calls of tools.
    pub fn output_format(&self) -> OutputFormat {
        OutputFormat::detect(self)
    }

    /// The text of the prompt for a conversation as applications and chat APIs hold it.
    ///
    /// As [`Self::render`], with two differences. Arguments of calls that are JSON in a string become objects, as
    /// templates want them. Where the template knows no tools, they are described in the instructions, with calls in the
    /// form of [`ToolCallFormat::Hermes`](super::ToolCallFormat::Hermes), and calls and results so far become plain text.
    ///
    /// # Errors
    /// As those of [`Self::render`].
    pub fn render_conversation(
        &self,
        input: &RenderInput<'_>,
    ) -> Result<RenderedPrompt, TemplateError> {
        let has_tools = input.tools.is_some_and(|tools| !tools.is_empty());
        let mut messages: Vec<Message> = input.messages.iter().map(with_objects).collect();
        let mut input = RenderInput {
            tools: input.tools.filter(|_| has_tools),
            ..input.clone()
        };
        if !self.supports_tools() {
            messages = messages.into_iter().map(in_words).collect();
            if let Some(tools) = input.tools.take() {
                return self.render_described(&messages, &describe(tools), &input);
            }
        }
        input.messages = &messages;
        self.render(&input)
    }

    /// Puts `description` into the instructions, or before the first question if the template takes no instructions.
    fn render_described(
        &self,
        messages: &[Message],
        description: &str,
        input: &RenderInput<'_>,
    ) -> Result<RenderedPrompt, TemplateError> {
        let mut instructed = messages.to_vec();
        match instructed.first_mut() {
            Some(first) if first.role == Role::System => append(first, description),
            _ => instructed.insert(0, Message::system(description)),
        }
        let render = |messages: &[Message]| {
            self.render(&RenderInput {
                messages,
                ..input.clone()
            })
        };
        let refused = match render(&instructed) {
            Err(error @ TemplateError::Raised { .. }) => error,
            rendered => return rendered,
        };
        let mut asked = messages.to_vec();
        match asked.iter_mut().find(|turn| turn.role == Role::User) {
            Some(question) => {
                let text = question.text();
                question.content = Some(Content::Text(format!("{description}\n\n{text}")));
                render(&asked)
            }
            None => Err(refused),
        }
    }
}

/// What a model is told of tools by a template that does not know any.
fn describe(tools: &[Json]) -> String {
    let list: String = tools.iter().map(|tool| format!("{tool}\n")).collect();
    format!(
        "# Tools\n\nYou may call functions to help with the question. These are they, as JSON schemas:\n\
         <tools>\n{list}</tools>\n\nTo call one, answer with its name and arguments as a JSON object:\n\
         <tool_call>\n{{\"name\": \"the name\", \"arguments\": {{\"key\": \"value\"}}}}\n</tool_call>"
    )
}

fn append(message: &mut Message, text: &str) {
    let before = message.text();
    message.content = Some(Content::Text(format!("{before}\n\n{text}")));
}

/// Turns arguments that are JSON in a string into objects.
fn with_objects(message: &Message) -> Message {
    let mut message = message.clone();
    for call in message.tool_calls.iter_mut().flatten() {
        let Some(arguments) = call.pointer_mut("/function/arguments") else {
            continue;
        };
        let object = arguments.as_str().map(serde_json::from_str::<Json>);
        if let Some(Ok(object @ Json::Object(_))) = object {
            *arguments = object;
        }
    }
    message
}

/// Writes calls and results as text.
fn in_words(mut message: Message) -> Message {
    let calls = message.tool_calls.take().unwrap_or_default();
    if !calls.is_empty() {
        let written: Vec<String> = calls.iter().map(call_in_words).collect();
        let before = message.text();
        let gap = if before.is_empty() { "" } else { "\n" };
        message.content = Some(Content::Text(before + gap + &written.join("\n")));
    }
    if message.role == Role::Tool {
        let result = format!("<tool_response>\n{}\n</tool_response>", message.text());
        message = Message::user(result);
    }
    message
}

fn call_in_words(call: &Json) -> String {
    let function = call.get("function").unwrap_or(call);
    let name = function.get("name").cloned().unwrap_or_default();
    let arguments = match function.get("arguments") {
        Some(Json::String(text)) => Cow::Borrowed(text.as_str()),
        Some(arguments) => arguments.to_string().into(),
        None => "{}".into(),
    };
    format!("<tool_call>\n{{\"name\": {name}, \"arguments\": {arguments}}}\n</tool_call>")
}
