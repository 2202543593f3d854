//! Error responses: problem details (RFC 9457), and pages for browsers.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::compression::parse_weight;
use super::layers;
use super::query::BadRequest;
use crate::api::{self, ProblemDetails};

/// `Retry-After` of a request beyond a limit, in seconds.
const RETRY_SECS: u64 = 5;

/// Error response, with an optional `Retry-After`.
#[derive(Debug)]
pub struct Error {
    problem: Box<ProblemDetails>,
    retry_after_secs: Option<u64>,
}

impl Error {
    /// Creates a permanent error: a retry of the same request fails again.
    pub fn new(status: StatusCode, code: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { problem: Box::new(ProblemDetails::new(status.as_u16(), code, title, detail)), retry_after_secs: None }
    }

    /// Creates a temporary error, with `Retry-After`.
    pub fn retryable(status: StatusCode, code: &str, title: &'static str, detail: &str, retry_after_secs: u64) -> Self {
        Self { retry_after_secs: Some(retry_after_secs), ..Self::new(status, code, title, detail) }
    }
}

impl From<BadRequest> for Error {
    fn from(bad_request: BadRequest) -> Self {
        let is_retryable = bad_request.is_retryable();
        let BadRequest { code, field, value, allowed, detail } = bad_request;
        let (status, retry_after_secs) = match is_retryable {
            true => (StatusCode::SERVICE_UNAVAILABLE, Some(RETRY_SECS)),
            // An unknown name is 404, also in a query.
            false if is_not_found(code) => (StatusCode::NOT_FOUND, None),
            false => (StatusCode::BAD_REQUEST, None),
        };
        let problem = ProblemDetails::new(status.as_u16(), code, title(code), detail);
        let parameter = Some(field).filter(|field| !field.is_empty());
        Self { problem: Box::new(ProblemDetails { parameter, value, allowed, ..problem }), retry_after_secs }
    }
}

fn is_not_found(code: &str) -> bool {
    matches!(code, "unknown-board" | "unknown-market" | "unknown-venue")
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
        "too-many-groups" => "Too many groups",
        "too-many-markets" => "Too many markets",
        "query-too-long" => "Query too long",
        _ => "Bad parameter",
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, api::json(&self.problem)).into_response();
        let headers = response.headers_mut();
        layers::add_api_headers(headers);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}

/// Returns whether `Accept` prefers HTML to JSON, as browsers do.
pub fn wants_page(headers: &HeaderMap) -> bool {
    html_weight(headers) > json_weight(headers)
}

/// Returns whether `Accept` prefers JSON to HTML, as programs do.
pub fn wants_json(headers: &HeaderMap) -> bool {
    json_weight(headers) > html_weight(headers)
}

fn html_weight(headers: &HeaderMap) -> u16 {
    accept_weight(headers, &["text/html", "application/xhtml+xml"])
}

fn json_weight(headers: &HeaderMap) -> u16 {
    accept_weight(headers, &["application/json", "application/problem+json"])
}

/// Returns the highest weight of these media types in `Accept`, in thousandths; wildcards don't count.
fn accept_weight(headers: &HeaderMap, media_types: &[&str]) -> u16 {
    let lists = headers.get_all(header::ACCEPT).iter().filter_map(|list| list.to_str().ok());
    let weights = lists.flat_map(|list| list.split(',')).filter_map(|range| {
        let (media_type, parameters) = range.split_once(';').unwrap_or((range, ""));
        let is_named = media_types.iter().any(|known| media_type.trim().eq_ignore_ascii_case(known));
        is_named.then(|| parse_weight(parameters))
    });
    weights.max().unwrap_or(0)
}

/// Answers a request without a single valid `Host`.
pub fn bad_host() -> Response {
    let detail = "a request must have exactly one Host header, with a valid name";
    Error::new(StatusCode::BAD_REQUEST, "bad-host", "Bad host", detail).into_response()
}

/// Answers a request whose handler panicked.
pub fn handler_panicked() -> Error {
    let detail = "the server failed to answer this request";
    Error::new(StatusCode::INTERNAL_SERVER_ERROR, "server-error", "Server error", detail)
}

/// Answers a method that is not allowed on a path.
pub async fn method_not_allowed(method: Method) -> Response {
    let detail = format!("method {} not allowed for this path", method.as_str().chars().take(16).collect::<String>());
    let problem = Error::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", "Method not allowed", detail);
    ([(header::ALLOW, layers::ALLOW)], problem).into_response()
}
