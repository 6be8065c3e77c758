//! `/v1/completions`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use dino_llm::{FinishReason, Model, Prompt, Token};
use serde_json::{Value as Json, json};

use super::answer::{Dialect, finish_name, respond};
use super::choices::{Choices, End, join};
use super::logprobs::completion_entries;
use crate::body::Payload;
use crate::error::ApiError;
use crate::plan::{GenerateBody, Logprobs, Plan, output_constraint, prepare};
use crate::state::App;

/// Tokens of an answer where the request does not say, as OpenAI has it.
const DEFAULT_TOKENS: usize = 16;

/// Continues a text.
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    Payload(body): Payload<GenerateBody>,
) -> Result<Response, ApiError> {
    let (body, choices, texts) = prepare(&app, move |app| {
        let (choices, texts) = start(app, &body)?;
        Ok((body, choices, texts))
    })
    .await?;
    respond(&app, &body, choices, texts).await
}

fn start(app: &App, body: &GenerateBody) -> Result<(Choices, Texts), ApiError> {
    let run = body.run(app)?;
    body.check_supported()?;
    if body
        .suffix
        .as_ref()
        .is_some_and(|suffix| !suffix.is_empty())
    {
        return Err(ApiError::bad(
            "suffix",
            "texts are continued, not filled in",
        ));
    }
    let prompts = body.prompts(app)?;
    let logprobs = match body.logprobs {
        None | Some(Logprobs::Switch(false)) => None,
        Some(Logprobs::Switch(true)) => Some(0),
        Some(Logprobs::Alternatives(count)) => Some(count),
    };
    let answers = body.n.unwrap_or(1);
    let echoes = if body.echo == Some(true) {
        if logprobs.is_some() {
            let message = "log probabilities are given for generated tokens alone, not for an echo";
            return Err(ApiError::bad("echo", message));
        }
        echoed(app, &prompts)?
    } else {
        vec![String::new(); prompts.len()]
    };
    let plan = Plan {
        prompts,
        answers,
        params: body.sampling(app, Some(DEFAULT_TOKENS), logprobs)?,
        constraint: output_constraint(app, body)?,
        run,
    };
    let streams = plan.submit(app)?;
    let texts = Texts {
        model: app.model.clone(),
        has_logprobs: logprobs.is_some(),
        choices: (0..streams.len())
            .map(|index| TextChoice::new(echoes[index / answers].clone()))
            .collect(),
    };
    Ok((join(streams), texts))
}

impl GenerateBody {
    fn prompts(&self, app: &App) -> Result<Vec<Prompt>, ApiError> {
        let Some(prompt) = &self.prompt else {
            return Err(ApiError::bad("prompt", "the prompt is missing"));
        };
        let prompts = prompt.prompts();
        if prompts.is_empty() || prompts.len() > app.limits.choices {
            let most = app.limits.choices;
            let message = format!("1 to {most} prompts are taken, not {}", prompts.len());
            return Err(ApiError::bad("prompt", message));
        }
        Ok(prompts)
    }
}

fn echoed(app: &App, prompts: &[Prompt]) -> Result<Vec<String>, ApiError> {
    let text = |prompt: &Prompt| match prompt {
        Prompt::Text { text, .. } => Ok(text.clone()),
        Prompt::Rendered(prompt) => Ok(prompt.to_string()),
        Prompt::Tokens(tokens) => {
            let decoded = app.model.tokenizer().decode(tokens);
            decoded.map_err(|error| ApiError::bad("prompt", error.to_string()))
        }
    };
    prompts.iter().map(text).collect()
}

/// The answers of `/v1/completions`.
struct Texts {
    model: Model,
    has_logprobs: bool,
    choices: Vec<TextChoice>,
}

struct TextChoice {
    /// The prompt, where it is to be part of the answer.
    echo: String,
    text: String,
    tokens: Vec<Token>,
    /// How many tokens have been sent with their log probabilities, and where in the text the next begins.
    sent: usize,
    offset: usize,
    finish_reason: &'static str,
}

impl TextChoice {
    fn new(echo: String) -> Self {
        Self {
            offset: echo.chars().count(),
            echo,
            text: String::new(),
            tokens: Vec::new(),
            sent: 0,
            finish_reason: finish_name(FinishReason::Length),
        }
    }
}

impl Texts {
    fn piece(&mut self, index: usize, text: &str, finish_reason: Json) -> Json {
        let choice = &mut self.choices[index];
        let mut logprobs = Json::Null;
        if self.has_logprobs {
            let unsent = &choice.tokens[choice.sent..];
            logprobs = completion_entries(&**self.model.tokenizer(), unsent, choice.offset);
            choice.sent = choice.tokens.len();
        }
        choice.offset += text.chars().count();
        json!({
            "index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason,
        })
    }
}

impl Dialect for Texts {
    const NAMES: (&'static str, &'static str, &'static str) =
        ("cmpl", "text_completion", "text_completion");

    fn begin(&mut self, index: usize) -> Vec<Json> {
        let choice = &self.choices[index];
        if choice.echo.is_empty() {
            return Vec::new();
        }
        let echo = choice.echo.clone();
        vec![json!({"index": index, "text": echo, "logprobs": null, "finish_reason": null})]
    }

    fn token(&mut self, index: usize, mut token: Token) -> Vec<Json> {
        let text = std::mem::take(&mut token.text);
        let is_end = self.model.end_of_generation().contains(&token.id);
        let choice = &mut self.choices[index];
        choice.text += &text;
        if self.has_logprobs && !is_end {
            choice.tokens.push(token);
        }
        if text.is_empty() {
            return Vec::new();
        }
        vec![self.piece(index, &text, Json::Null)]
    }

    fn end(&mut self, index: usize, end: &End) -> Vec<Json> {
        let reason = finish_name(end.finish_reason);
        self.choices[index].finish_reason = reason;
        vec![self.piece(index, "", reason.into())]
    }

    fn whole(mut self) -> Vec<Json> {
        let count = self.choices.len();
        (0..count)
            .map(|index| {
                let choice = &mut self.choices[index];
                choice.sent = 0;
                choice.offset = choice.echo.chars().count();
                let text = std::mem::take(&mut choice.text);
                let (whole, reason) = (choice.echo.clone() + &text, choice.finish_reason);
                let mut piece = self.piece(index, &text, reason.into());
                piece["text"] = whole.into();
                piece
            })
            .collect()
    }
}
