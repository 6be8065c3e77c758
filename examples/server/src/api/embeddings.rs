//! `/v1/embeddings`

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dino_llm::{CancelToken, Embedding, Prompt};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::body::{self, Payload};
use crate::error::ApiError;
use crate::plan::PromptField;
use crate::state::App;

/// Texts of one request.
const MOST_TEXTS: usize = 512;

#[derive(Debug, Deserialize)]
pub(crate) struct EmbeddingsBody {
    model: Option<String>,
    input: PromptField,
    #[serde(default)]
    encoding_format: Encoding,
    dimensions: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    #[default]
    Float,
    /// Of the values as little-endian f32: what the official client asks for.
    Base64,
}

/// Cancels when the client goes away and the answer is dropped with it.
struct CancelOnDrop(CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Vectors of texts.
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    Payload(body): Payload<EmbeddingsBody>,
) -> Result<Response, ApiError> {
    app.check_model(body.model.as_deref())?;
    let size = app.model.config().hidden;
    if body.dimensions.is_some_and(|asked| asked != size) {
        return Err(ApiError::bad(
            "dimensions",
            format!("vectors have {size} values"),
        ));
    }
    let texts = body.input.prompts();
    if texts.is_empty() || texts.len() > MOST_TEXTS {
        let message = format!("1 to {MOST_TEXTS} texts are taken, not {}", texts.len());
        return Err(ApiError::bad("input", message));
    }
    let cancel = CancelToken::new();
    let _guard = CancelOnDrop(cancel.clone());
    // One after another: each uses all threads.
    let permit = app.embedding.acquire().await.map_err(ApiError::internal)?;
    let working = app.clone();
    let embedding = tokio::task::spawn_blocking(move || embed(&working, texts, &cancel));
    let embedded = embedding.await.map_err(ApiError::internal)??;
    drop(permit);
    let tokens: usize = embedded.iter().map(|embedding| embedding.tokens).sum();
    let data = embedded.iter().enumerate().map(|(index, embedding)| {
        let vector = encode(&embedding.vector, body.encoding_format);
        json!({"object": "embedding", "index": index, "embedding": vector})
    });
    Ok(body::json(&json!({
        "object": "list",
        "data": data.collect::<Vec<_>>(),
        "model": app.name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    })))
}

fn embed(app: &App, texts: Vec<Prompt>, cancel: &CancelToken) -> Result<Vec<Embedding>, ApiError> {
    let started = Instant::now();
    let mut embedded = Vec::with_capacity(texts.len());
    for text in texts {
        if cancel.is_cancelled() || started.elapsed() > app.limits.answer {
            let message = "the time for an answer ran out";
            return Err(ApiError::new(StatusCode::GATEWAY_TIMEOUT, message));
        }
        let embedding = app.model.embed(text);
        embedded.push(embedding.map_err(|error| ApiError::from(error).param("input"))?);
    }
    Ok(embedded)
}

fn encode(vector: &[f32], encoding: Encoding) -> Json {
    match encoding {
        Encoding::Float => json!(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            STANDARD.encode(bytes).into()
        }
    }
}
