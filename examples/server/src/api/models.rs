//! `/v1/models`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::json;

use crate::body;
use crate::error::ApiError;
use crate::state::App;

/// All that is served: the model, it with each adapter, the encoder.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Response {
    let data: Vec<_> = app.served.names().map(|name| app.describe(name)).collect();
    body::json(&json!({"object": "list", "data": data}))
}

/// One of them by its name.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    if app.served.names().all(|known| known != name) {
        return Err(app.served.unknown(&name));
    }
    Ok(body::json(&app.describe(&name)))
}
