//! Answers that are problems (RFC 9457).

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::ask::Refusal;
use crate::wire::{self, Problem};

/// Why a request was not answered, with how long to stay away.
#[derive(Debug)]
pub struct Error {
    problem: Box<Problem>,
    retry_after_secs: Option<u64>,
}

impl Error {
    /// A problem of the request.
    pub fn new(status: StatusCode, code: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { problem: Box::new(Problem::new(status.as_u16(), code, title, detail)), retry_after_secs: None }
    }

    /// A problem that passes.
    pub fn passing(status: StatusCode, code: &str, title: &'static str, detail: &str, retry_after_secs: u64) -> Self {
        Self { retry_after_secs: Some(retry_after_secs), ..Self::new(status, code, title, detail) }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let Refusal { code, field, value, allowed, detail } = refusal;
        let problem = Problem::new(StatusCode::BAD_REQUEST.as_u16(), code, title(code), detail);
        let parameter = Some(field).filter(|field| !field.is_empty());
        Self { problem: Box::new(Problem { parameter, value, allowed, ..problem }), retry_after_secs: None }
    }
}

fn title(code: &str) -> &'static str {
    match code {
        "unknown-board" => "Unknown board",
        "unknown-market" => "Unknown market",
        "unknown-basis" => "Unknown basis",
        "unknown-lang" => "Unknown language",
        "unknown-venue" => "Unknown venue",
        "bad-span" => "Bad span",
        "bad-step" => "Bad step",
        "bad-interval" => "Bad interval",
        "too-many-markets" => "Too many markets",
        "query-too-long" => "Query too long",
        _ => "Bad parameter",
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, wire::json(&self.problem)).into_response();
        let headers = response.headers_mut();
        super::layers::mark(headers);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}

/// Answers a path that is none of ours.
pub async fn no_route(uri: Uri) -> Error {
    let path: String = uri.path().chars().take(128).collect();
    Error::new(StatusCode::NOT_FOUND, "no-route", "Not found", format!("there is nothing at {path:?}"))
}

/// Answers a request whose handler panicked.
pub fn failed() -> Error {
    let detail = "the server failed to answer this request";
    Error::new(StatusCode::INTERNAL_SERVER_ERROR, "server-error", "Server error", detail)
}

/// Answers a method that a path does not have.
pub async fn wrong_method(method: Method) -> Error {
    let detail = format!("{} is not a method of this path", method.as_str().chars().take(16).collect::<String>());
    Error::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", "Method not allowed", detail)
}
