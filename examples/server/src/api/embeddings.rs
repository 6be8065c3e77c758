//! `/v1/embeddings`

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dino_llm::{CancelToken, Embedder, Embedding, Prompt};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::body::{self, Payload};
use crate::error::ApiError;
use crate::plan::PromptField;
use crate::state::App;

/// Texts of one request.
const MOST_TEXTS: usize = 2048;
/// Texts between two looks at the clock.
const TEXTS_AT_A_TIME: usize = 64;

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
    let reader = app.served.reader(body.model.as_deref())?;
    let size = reader.map_or(app.model.config().hidden, Embedder::dimensions);
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
    // One request after another: each uses all threads.
    let permit = app.embedding.acquire().await.map_err(ApiError::internal)?;
    let (working, model) = (app.clone(), body.model.clone());
    let embedding =
        tokio::task::spawn_blocking(move || embed(&working, model.as_deref(), texts, &cancel));
    let embedded = embedding.await.map_err(ApiError::internal)??;
    drop(permit);
    let tokens: usize = embedded.iter().map(|embedding| embedding.tokens).sum();
    let data = embedded.iter().enumerate().map(|(index, embedding)| {
        let vector = encode(&embedding.vector, body.encoding_format);
        json!({"object": "embedding", "index": index, "embedding": vector})
    });
    let name = match (&body.model, &app.served.embedder) {
        (Some(name), _) => name,
        (None, Some((name, _))) => name,
        (None, None) => &app.served.base,
    };
    Ok(body::json(&json!({
        "object": "list",
        "data": data.collect::<Vec<_>>(),
        "model": name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    })))
}

/// Makes the vectors, some texts at a time: between these it looks whether anybody still waits.
fn embed(
    app: &App,
    model: Option<&str>,
    texts: Vec<Prompt>,
    cancel: &CancelToken,
) -> Result<Vec<Embedding>, ApiError> {
    let started = Instant::now();
    let reader = app.served.reader(model)?;
    let mut embedded = Vec::with_capacity(texts.len());
    for some in texts.chunks(TEXTS_AT_A_TIME) {
        if cancel.is_cancelled() || started.elapsed() > app.limits.answer {
            let message = "the time for an answer ran out";
            return Err(ApiError::new(StatusCode::GATEWAY_TIMEOUT, message));
        }
        let made = match reader {
            Some(embedder) => read(embedder, some),
            None => app.model.embed_batch(some.iter().cloned()),
        };
        embedded.extend(made.map_err(|error| ApiError::from(error).param("input"))?);
    }
    Ok(embedded)
}

/// Vectors by an encoder.
fn read(embedder: &Embedder, texts: &[Prompt]) -> Result<Vec<Embedding>, dino_llm::Error> {
    let tokens = texts.iter().map(|text| match text {
        Prompt::Text { text, .. } => embedder.tokens(text),
        Prompt::Rendered(prompt) => embedder.tokens(prompt.as_str()),
        Prompt::Tokens(tokens) if tokens.is_empty() => Err(dino_llm::Error::EmptyPrompt),
        Prompt::Tokens(tokens) => Ok(tokens.clone()),
    });
    let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
    let vectors = embedder.embed_tokens(&tokens)?;
    let pairs = vectors.into_iter().zip(tokens);
    let embedding = |(vector, tokens): (Vec<f32>, Vec<u32>)| Embedding {
        vector,
        tokens: tokens.len(),
    };
    Ok(pairs.map(embedding).collect())
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
