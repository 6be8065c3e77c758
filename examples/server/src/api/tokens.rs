//! `/tokenize` and `/detokenize`, with the fields of llama.cpp and vLLM.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use dino_llm::EncodeOptions;
use serde::Deserialize;
use serde_json::json;

use crate::body::{self, Payload};
use crate::error::ApiError;
use crate::plan::prepare;
use crate::state::App;

#[derive(Debug, Deserialize)]
pub(crate) struct TokenizeBody {
    #[serde(alias = "prompt")]
    content: String,
    #[serde(default, alias = "add_special_tokens")]
    add_special: bool,
    #[serde(default)]
    parse_special: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct DetokenizeBody {
    tokens: Vec<u32>,
}

/// Text to tokens.
pub(crate) async fn tokenize(
    State(app): State<Arc<App>>,
    Payload(body): Payload<TokenizeBody>,
) -> Result<Response, ApiError> {
    let tokens = prepare(&app, move |app| {
        let options = EncodeOptions {
            add_special: body.add_special,
            parse_special: body.parse_special,
        };
        let encoded = app.model.tokenizer().encode(&body.content, options);
        encoded.map_err(|error| ApiError::bad("content", error.to_string()))
    })
    .await?;
    Ok(body::json(&json!({
        "tokens": tokens, "count": tokens.len(), "max_model_len": app.engine.context_length(),
    })))
}

/// Tokens to text.
pub(crate) async fn detokenize(
    State(app): State<Arc<App>>,
    Payload(body): Payload<DetokenizeBody>,
) -> Result<Response, ApiError> {
    let text = prepare(&app, move |app| {
        let decoded = app.model.tokenizer().decode(&body.tokens);
        decoded.map_err(|error| ApiError::bad("tokens", error.to_string()))
    })
    .await?;
    Ok(body::json(&json!({"content": text, "prompt": text})))
}
