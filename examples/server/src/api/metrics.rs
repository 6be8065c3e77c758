//! `/metrics`, for Prometheus.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};

use crate::state::App;

/// What the engine and the server count.
pub(crate) async fn handle(State(app): State<Arc<App>>) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text(&app)).into_response()
}

fn text(app: &App) -> String {
    let snapshot = app.engine.metrics().snapshot();
    let mut text = snapshot.to_prometheus(&app.served.base);
    text.push_str(
        "# HELP dino_http_requests_total Requests answered, by what became of them.\n\
         # TYPE dino_http_requests_total counter\n",
    );
    let counts = [
        ("served", &app.counts.served),
        ("refused", &app.counts.refused),
        ("failed", &app.counts.failed),
    ];
    for (outcome, count) in counts {
        let count = count.load(Ordering::Relaxed);
        let _ = writeln!(
            text,
            "dino_http_requests_total{{outcome=\"{outcome}\"}} {count}"
        );
    }
    text
}
