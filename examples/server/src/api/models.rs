//! `/v1/models`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value as Json, json};

use crate::body;
use crate::error::ApiError;
use crate::state::App;

/// The one model in a list.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Response {
    body::json(&json!({"object": "list", "data": [describe(&app)]}))
}

/// The model by its name.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    app.check_model(Some(&name))?;
    Ok(body::json(&describe(&app)))
}

fn describe(app: &App) -> Json {
    json!({
        "id": app.name,
        "object": "model",
        "created": app.started,
        "owned_by": "dino-llm",
        "max_model_len": app.engine.context_length(),
    })
}
