//! Bodies of requests and responses.

use std::sync::Arc;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::error::ApiError;
use crate::state::App;

/// A body of JSON, whatever its content type says. What is wrong with it is told with the field's name.
pub(crate) struct Payload<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Payload<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let limit = app.limits.body;
        let too_large = || {
            let message = format!("the body has more than {limit} bytes");
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message).code("body_too_large")
        };
        if request.body().size_hint().lower() > limit as u64 {
            return Err(too_large());
        }
        let reading = axum::body::to_bytes(request.into_body(), limit);
        let Ok(read) = tokio::time::timeout(app.limits.read, reading).await else {
            let message = "the body did not arrive in time";
            return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, message));
        };
        parse(&read.map_err(|_| too_large())?).map(Payload)
    }
}

fn parse<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut deserializer);
    let value = read.map_err(|error| {
        let path = error.path().to_string();
        let message = format!("the body is not as it should be: {}", error.inner());
        let error = ApiError::new(StatusCode::BAD_REQUEST, message);
        if path == "." {
            error
        } else {
            error.param(path)
        }
    })?;
    let rest = deserializer.end();
    rest.map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok(value)
}

/// A response of JSON.
pub(crate) fn json(body: &Json) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
}
