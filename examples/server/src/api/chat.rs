//! `/v1/chat/completions`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use dino_llm::{
    Constraint, Content, Message, OutputFormat, OutputParser, Prompt, RenderInput, RenderedPrompt,
    Role, SamplingParams, ToolCallFormat,
};
use serde_json::Value as Json;

use super::answer::respond;
use super::chat_choice::Chat;
use super::choices::{Choices, join};
use crate::body::Payload;
use crate::error::ApiError;
use crate::plan::{GenerateBody, Logprobs, Plan, forced_call, output_constraint, prepare};
use crate::state::App;

/// Answers a conversation.
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    Payload(body): Payload<GenerateBody>,
) -> Result<Response, ApiError> {
    let (body, choices, chat) = prepare(&app, move |app| {
        let (choices, chat) = start(app, &body)?;
        Ok((body, choices, chat))
    })
    .await?;
    respond(&app, &body, choices, chat).await
}

fn start(app: &App, body: &GenerateBody) -> Result<(Choices, Chat), ApiError> {
    let run = body.run(app)?;
    body.check_supported()?;
    let tools = Tools::read(body)?;
    let mut prompt = render(app, body, &tools)?;
    let constraint = tools.constraint(app, body)?;
    let format = tools.output_format(app);
    if let (Some(_), Some(markers)) = (&constraint, &format.reasoning)
        && prompt.trim_end().ends_with(&*markers.open)
    {
        // The form is the answer's, not the thoughts', so there are none.
        prompt.push_str(&markers.close);
        prompt.push_str("\n\n");
    }
    let wants_logprobs = match body.logprobs {
        None | Some(Logprobs::Switch(false)) => false,
        Some(Logprobs::Switch(true)) => true,
        Some(Logprobs::Alternatives(_)) => {
            return Err(ApiError::bad(
                "logprobs",
                "`logprobs` is true or false here",
            ));
        }
    };
    let logprobs = wants_logprobs.then(|| body.top_logprobs.unwrap_or_default());
    let params = SamplingParams {
        skip_special_tokens: !format.needs_special_tokens(),
        ..body.sampling(app, None, logprobs)?
    };
    let answers = body.n.unwrap_or(1);
    let plan = Plan {
        prompts: vec![Prompt::rendered(prompt.clone())],
        answers,
        params,
        constraint,
        run,
    };
    let streams = plan.submit(app)?;
    let parser = || {
        OutputParser::new(format.clone())
            .tools(tools.definitions)
            .after_prompt(&prompt)
    };
    let chat = Chat::new(&app.model, streams.len(), wants_logprobs, parser);
    Ok((join(streams), chat))
}

/// The tools of a request, and which of them have to be called.
struct Tools<'b> {
    /// Those that the model is told of.
    definitions: &'b [Json],
    /// Those of which one has to be called; empty if the model is free.
    forced: Vec<&'b Json>,
}

impl<'b> Tools<'b> {
    fn read(body: &'b GenerateBody) -> Result<Self, ApiError> {
        let mut definitions = body.tools.as_deref().unwrap_or_default();
        let name = |tool: &'b Json| tool.get("function")?.get("name")?.as_str();
        if let Some(at) = definitions.iter().position(|tool| name(tool).is_none()) {
            let message = "a tool is `{\"type\": \"function\", \"function\": {\"name\": …}}`";
            return Err(ApiError::bad(format!("tools[{at}]"), message));
        }
        let mut forced = Vec::new();
        match &body.tool_choice {
            None | Some(Json::Null) => {}
            Some(Json::String(choice)) => match choice.as_str() {
                "auto" => {}
                "none" => definitions = &[],
                "required" => forced.extend(definitions),
                _ => {
                    let message = "`tool_choice` is auto, none, required, or names a function";
                    return Err(ApiError::bad("tool_choice", message));
                }
            },
            Some(choice) => {
                let wanted = choice
                    .pointer("/function/name")
                    .or_else(|| choice.get("name"));
                let wanted = wanted.and_then(Json::as_str);
                forced.extend(definitions.iter().find(|tool| name(tool) == wanted));
                if wanted.is_none() || forced.is_empty() {
                    let message = "`tool_choice` names a function that is not among `tools`";
                    return Err(ApiError::bad("tool_choice", message));
                }
            }
        }
        if forced.is_empty()
            && body
                .tool_choice
                .as_ref()
                .is_some_and(|choice| choice == "required")
        {
            return Err(ApiError::bad("tool_choice", "there are no tools to call"));
        }
        Ok(Self {
            definitions,
            forced,
        })
    }

    fn constraint(&self, app: &App, body: &GenerateBody) -> Result<Option<Constraint>, ApiError> {
        let constraint = output_constraint(app, body)?;
        if self.forced.is_empty() {
            return Ok(constraint);
        }
        if constraint.is_some() {
            let message = "an answer that has to be a call cannot have another form as well";
            return Err(ApiError::bad("response_format", message));
        }
        forced_call(app, &self.forced).map(Some)
    }

    /// How the answer is read. A forced call is plain JSON; without tools nothing is taken for a call.
    fn output_format(&self, app: &App) -> OutputFormat {
        let tool_calls = if !self.forced.is_empty() {
            Some(ToolCallFormat::Json)
        } else if self.definitions.is_empty() {
            None
        } else {
            app.format.tool_calls
        };
        OutputFormat {
            tool_calls,
            ..app.format.clone()
        }
    }
}

fn render(app: &App, body: &GenerateBody, tools: &Tools<'_>) -> Result<RenderedPrompt, ApiError> {
    let messages = body.messages.as_deref().unwrap_or_default();
    if messages.is_empty() {
        return Err(ApiError::bad(
            "messages",
            "a conversation has at least one message",
        ));
    }
    let messages = messages
        .iter()
        .enumerate()
        .map(|(at, message)| plain(at, message))
        .collect::<Result<Vec<_>, _>>()?;
    let template = app.template.as_ref().ok_or_else(|| {
        let message = "the model has no chat template, so it is none for conversations";
        ApiError::bad("messages", message)
    })?;
    let tokenizer = app.model.tokenizer();
    let text = |token: Option<u32>| {
        let bytes = tokenizer.token_bytes(token?).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let special = tokenizer.special();
    let (bos, eos) = (text(special.bos), text(special.eos));
    let input = RenderInput {
        messages: &messages,
        tools: (!tools.definitions.is_empty()).then_some(tools.definitions),
        add_generation_prompt: true,
        bos_token: bos.as_deref(),
        eos_token: eos.as_deref(),
        variables: body.chat_template_kwargs.clone().unwrap_or_default(),
        ..RenderInput::default()
    };
    let rendered = template.render_conversation(&input);
    rendered.map_err(|error| dino_llm::Error::from(error).into())
}

/// A message as templates know it: text instead of parts, `system` for the API's `developer`.
fn plain(at: usize, message: &Message) -> Result<Message, ApiError> {
    let mut message = message.clone();
    if message.role.as_str() == "developer" {
        message.role = Role::System;
    }
    if let Some(Content::Parts(parts)) = &message.content {
        let is_text = |part: &Json| part.get("text").is_some_and(Json::is_string);
        if !parts.iter().all(is_text) {
            let place = format!("messages[{at}].content");
            return Err(ApiError::bad(place, "the model reads text only"));
        }
        message.content = Some(Content::Text(message.text()));
    }
    Ok(message)
}
