//! Answers of both kinds, whole or as a stream of events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use dino_llm::{FinishReason, Usage};
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::{Value as Json, json};

use super::choices::{Choices, End, Event};
use crate::body;
use crate::error::ApiError;
use crate::plan::GenerateBody;
use crate::state::{App, now};
use dino_llm::Token;

/// How one kind of answer is written. Pieces are entries of a chunk's `choices`.
pub(super) trait Dialect: Send + 'static {
    /// The prefix of ids, the name of a whole answer, the name of a chunk.
    const NAMES: (&'static str, &'static str, &'static str);

    /// What every answer begins with.
    fn begin(&mut self, index: usize) -> Vec<Json>;

    /// What a token adds.
    fn token(&mut self, index: usize, token: Token) -> Vec<Json>;

    /// What the end adds, the finish reason among it.
    fn end(&mut self, index: usize, end: &End) -> Vec<Json>;

    /// The entries of a whole answer.
    fn whole(self) -> Vec<Json>;
}

/// What is the same in all chunks, and what is counted over all answers.
struct Envelope {
    id: String,
    created: u64,
    model: String,
    /// Answers to each prompt.
    answers: usize,
    usage: Usage,
    /// Tokens guessed ahead, and those of them that were right.
    guessed: (usize, usize),
}

/// Answers a request.
pub(super) async fn respond<D: Dialect>(
    app: &Arc<App>,
    body: &GenerateBody,
    choices: Choices,
    dialect: D,
) -> Result<Response, ApiError> {
    let envelope = Envelope {
        id: format!("{}-{:016x}{:08x}", D::NAMES.0, fresh(), fresh() as u32),
        created: now(),
        model: app.served.writer(body.model.as_deref())?.name,
        answers: body.n.unwrap_or(1).max(1),
        usage: Usage::default(),
        guessed: (0, 0),
    };
    if body.is_streamed() {
        Ok(events(envelope, choices, dialect, body.wants_usage()))
    } else {
        whole(envelope, choices, dialect).await
    }
}

async fn whole<D: Dialect>(
    mut envelope: Envelope,
    mut choices: Choices,
    mut dialect: D,
) -> Result<Response, ApiError> {
    while let Some((index, event)) = choices.next().await {
        match event {
            Event::Token(token) => drop(dialect.token(index, token)),
            Event::End(end) => {
                if end.finish_reason == FinishReason::Deadline && end.usage.completion_tokens == 0 {
                    let message = "the time for an answer ran out before its first token";
                    return Err(ApiError::new(StatusCode::GATEWAY_TIMEOUT, message));
                }
                envelope.count(index, &end);
                drop(dialect.end(index, &end));
            }
            Event::Failed(error) => return Err(error.into()),
        }
    }
    let mut json = envelope.wrap(D::NAMES.1, dialect.whole());
    json["usage"] = envelope.usage();
    Ok(body::json(&json))
}

/// The state of a stream of events: what has been written but not sent, and where more comes from.
struct Events<D> {
    envelope: Envelope,
    choices: Option<Choices>,
    dialect: D,
    wants_usage: bool,
    ready: VecDeque<String>,
}

fn events<D: Dialect>(
    envelope: Envelope,
    choices: Choices,
    dialect: D,
    wants_usage: bool,
) -> Response {
    let count = choices.len();
    let mut events = Events {
        envelope,
        choices: Some(choices),
        dialect,
        wants_usage,
        ready: VecDeque::new(),
    };
    for index in 0..count {
        let pieces = events.dialect.begin(index);
        events.push(pieces);
    }
    Sse::new(events.run())
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response()
}

impl<D: Dialect> Events<D> {
    fn run(self) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        stream::unfold(self, async |mut events| {
            let data = events.next().await?;
            Some((Ok(sse::Event::default().data(data)), events))
        })
    }

    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                return Some(data);
            }
            match self.choices.as_mut()?.next().await {
                Some((index, Event::Token(token))) => {
                    let pieces = self.dialect.token(index, token);
                    self.push(pieces);
                }
                Some((index, Event::End(end))) => {
                    self.envelope.count(index, &end);
                    let pieces = self.dialect.end(index, &end);
                    self.push(pieces);
                }
                Some((_, Event::Failed(error))) => {
                    self.ready
                        .push_back(ApiError::from(error).to_json().to_string());
                    self.close();
                }
                None => {
                    if self.wants_usage {
                        let mut chunk = self.envelope.wrap(D::NAMES.2, Vec::new());
                        chunk["usage"] = self.envelope.usage();
                        self.ready.push_back(chunk.to_string());
                    }
                    self.close();
                }
            }
        }
    }

    fn close(&mut self) {
        self.choices = None;
        self.ready.push_back("[DONE]".to_owned());
    }

    fn push(&mut self, pieces: Vec<Json>) {
        for piece in pieces {
            let mut chunk = self.envelope.wrap(D::NAMES.2, vec![piece]);
            if self.wants_usage {
                chunk["usage"] = Json::Null;
            }
            self.ready.push_back(chunk.to_string());
        }
    }
}

impl Envelope {
    fn wrap(&self, object: &str, choices: Vec<Json>) -> Json {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": concat!("dino-llm-", env!("CARGO_PKG_VERSION")),
            "choices": choices,
        })
    }

    /// The prompt is counted once, however many answers it gets.
    fn count(&mut self, index: usize, end: &End) {
        self.usage.completion_tokens += end.usage.completion_tokens;
        self.guessed.0 += end.guessed.0;
        self.guessed.1 += end.guessed.1;
        if index.is_multiple_of(self.answers) {
            self.usage.prompt_tokens += end.usage.prompt_tokens;
            self.usage.cached_tokens += end.usage.cached_tokens;
        }
    }

    /// With what was known of the prompt, and, as for OpenAI's predicted outputs, how guesses came true.
    fn usage(&self) -> Json {
        let (guessed, right) = self.guessed;
        json!({
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
            "total_tokens": self.usage.prompt_tokens + self.usage.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.usage.cached_tokens},
            "completion_tokens_details": {
                "accepted_prediction_tokens": right,
                "rejected_prediction_tokens": guessed - right,
            },
        })
    }
}

/// How this API names the end of a text. It has no word for one that time cut off.
pub(super) fn finish_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        _ => "length",
    }
}

/// Bits that no other request has.
fn fresh() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0)
}
