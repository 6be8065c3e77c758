//! Errors in OpenAI's shape.

use std::fmt;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dino_llm::{EngineError, Error, ModelError, SamplingError};
use serde_json::{Value as Json, json};

/// Why a request was refused or failed: `{"error": {"message", "type", "param", "code"}}`.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
    param: Option<String>,
    code: Option<&'static str>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            param: None,
            code: None,
        }
    }

    /// A field of the request is wrong.
    pub(crate) fn bad(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.into()),
            ..Self::new(StatusCode::BAD_REQUEST, message)
        }
    }

    pub(crate) fn code(self, code: &'static str) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    pub(crate) fn param(self, param: impl Into<String>) -> Self {
        Self {
            param: Some(param.into()),
            ..self
        }
    }

    pub(crate) fn internal(error: impl fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }

    pub(crate) fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping").code("unavailable")
    }

    /// The body of the response, and of the event that ends a stream.
    pub(crate) fn to_json(&self) -> Json {
        let kind = match self.status.as_u16() {
            401 => "authentication_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            503 => "service_unavailable_error",
            400..500 => "invalid_request_error",
            _ => "server_error",
        };
        json!({"error": {
            "message": self.message, "type": kind, "param": self.param, "code": self.code,
        }})
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let bad = Self::new(StatusCode::BAD_REQUEST, message.as_str());
        match error {
            Error::Engine(EngineError::Busy { .. }) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, message).code("rate_limit_exceeded")
            }
            Error::Engine(EngineError::Stopped) => Self::stopping(),
            Error::Model(ModelError::ContextOverflow { .. }) => bad.code("context_length_exceeded"),
            Error::Model(ModelError::TokenOutOfRange { .. }) | Error::EmptyPrompt => {
                bad.param("prompt")
            }
            Error::Template(_) | Error::NoChatTemplate { .. } => bad.param("messages"),
            Error::Grammar(_) => bad.param("response_format"),
            Error::Sampling(error) => match field(&error) {
                Some(field) => bad.param(field),
                None => Self::internal(message),
            },
            Error::Tokenizer(_) => bad,
            _ => Self::internal(message),
        }
    }
}

/// The field of the request that an error of the sampler is about, if it is about one.
fn field(error: &SamplingError) -> Option<&'static str> {
    match error {
        SamplingError::OutOfRange { field, .. } => Some(field),
        SamplingError::EmptyStop { .. } => Some("stop"),
        SamplingError::MinAboveMax { .. } => Some("min_tokens"),
        SamplingError::InvalidBias { .. } | SamplingError::BiasOutOfVocabulary { .. } => {
            Some("logit_bias")
        }
        _ => None,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = self.to_json().to_string();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        match self.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                let scheme = HeaderValue::from_static("Bearer");
                headers.insert(header::WWW_AUTHENTICATE, scheme);
            }
            _ => {}
        }
        response
    }
}
