//! Use from pages of other origins: off, unless the command line names them.
//!
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::state::App;

/// Answers the browser's question beforehand, and marks answers that a page may read.
pub(crate) async fn allow(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let Some(origin) = origin.filter(|origin| is_allowed(&app.origins, origin)) else {
        return next.run(request).await;
    };
    let asks_beforehand = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match asks_beforehand {
        true => (StatusCode::NO_CONTENT, permissions()).into_response(),
        false => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    response
}

fn is_allowed(origins: &[String], origin: &HeaderValue) -> bool {
    let mut allowed = origins.iter();
    allowed.any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
}

/// What a page may send. Keys are a header of their own here; cookies are never used, so credentials are not allowed.
fn permissions() -> HeaderMap {
    [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ]
    .into_iter()
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
    .collect()
}
