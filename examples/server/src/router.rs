//! Which address is answered by what, and who may ask.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::json;

use crate::api::{chat, completions, embeddings, metrics, models, tokens};
use crate::body;
use crate::cors;
use crate::error::ApiError;
use crate::state::App;

/// All that the server answers.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let open = Router::new()
        .route("/", get(async || Html(include_str!("web/index.html"))))
        .route("/health", get(health));
    let closed = Router::new()
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*name}", get(models::one))
        .route("/v1/chat/completions", post(chat::handle))
        .route("/v1/completions", post(completions::handle))
        .route("/v1/embeddings", post(embeddings::handle))
        .route("/tokenize", post(tokens::tokenize))
        .route("/detokenize", post(tokens::detokenize))
        .route("/metrics", get(metrics::handle))
        .route_layer(middleware::from_fn_with_state(app.clone(), authorize));
    open.merge(closed)
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(app.clone(), cors::allow))
        .layer(middleware::from_fn_with_state(app.clone(), count))
        .with_state(app.clone())
}

async fn health(State(app): State<Arc<App>>) -> Response {
    if app.is_stopping.load(Ordering::Relaxed) {
        return ApiError::stopping().into_response();
    }
    body::json(&json!({"status": "ok"}))
}

async fn nowhere() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "there is nothing at this address").code("not_found")
}

async fn wrong_method() -> ApiError {
    let message = "this address does not take this method";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message).code("method_not_allowed")
}

async fn authorize(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match (&app.api_key, given) {
        (Some(key), given) if !is_same(key, given.unwrap_or_default()) => {
            let message = "the API key is missing or wrong; send it as `Authorization: Bearer KEY`";
            Err(ApiError::new(StatusCode::UNAUTHORIZED, message).code("invalid_api_key"))
        }
        _ => Ok(next.run(request).await),
    }
}

/// Compares in a time that does not tell how much is right.
fn is_same(key: &str, given: &str) -> bool {
    let differ = |bits: u8, (a, b): (u8, u8)| bits | (a ^ b);
    key.len() == given.len() && key.bytes().zip(given.bytes()).fold(0, differ) == 0
}

async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    app.counts.count(response.status().as_u16());
    response
}
