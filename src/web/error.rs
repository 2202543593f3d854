//! Answers that are problems (RFC 9457).

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::ask::Refusal;
use super::bodies::thousandths;
use super::{AppState, layers, pages};
use crate::wire::{self, Problem};

/// When to ask again for what is too much now.
const RETRY_SECS: u64 = 5;

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
        let passes = refusal.passes();
        let Refusal { code, field, value, allowed, detail } = refusal;
        let (status, retry_after_secs) = match passes {
            true => (StatusCode::SERVICE_UNAVAILABLE, Some(RETRY_SECS)),
            // What does not exist is not found, wherever its name stands.
            false if is_missing(code) => (StatusCode::NOT_FOUND, None),
            false => (StatusCode::BAD_REQUEST, None),
        };
        let problem = Problem::new(status.as_u16(), code, title(code), detail);
        let parameter = Some(field).filter(|field| !field.is_empty());
        Self { problem: Box::new(Problem { parameter, value, allowed, ..problem }), retry_after_secs }
    }
}

fn is_missing(code: &str) -> bool {
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
        let mut response = (status, wire::json(&self.problem)).into_response();
        let headers = response.headers_mut();
        layers::mark(headers);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}

/// Most folders of a path whose page names its files relative to itself.
const FOLDERS_MAX: usize = 16;

/// Answers a path that is none of ours.
pub async fn no_route(State(app): State<AppState>, headers: HeaderMap, uri: Uri) -> Response {
    // Relative to the path asked for, whatever a proxy has put before it.
    let folders = uri.path().matches('/').count().saturating_sub(1);
    let root = if folders > FOLDERS_MAX { format!("{}/", app.base_path()) } else { "../".repeat(folders) };
    nothing_at(&app, &headers, &uri, &root)
}

/// Says that there is nothing at a path: a browser gets a page, a program JSON. Our own pages begin at `root`.
pub fn nothing_at(app: &AppState, headers: &HeaderMap, uri: &Uri, root: &str) -> Response {
    let wants_page = html_weight(headers) > json_weight(headers);
    let page = wants_page.then(|| pages::no_page(app, headers, uri.query().unwrap_or_default(), root)).flatten();
    page.unwrap_or_else(|| {
        let path: String = uri.path().chars().take(128).collect();
        Error::new(StatusCode::NOT_FOUND, "no-route", "Not found", format!("there is nothing at {path:?}"))
            .into_response()
    })
}

/// Whether a request for a page comes from a program: one that names JSON, and likes it better than HTML.
pub fn wants_json(headers: &HeaderMap) -> bool {
    json_weight(headers) > html_weight(headers)
}

fn html_weight(headers: &HeaderMap) -> u16 {
    accepted(headers, &["text/html", "application/xhtml+xml"])
}

fn json_weight(headers: &HeaderMap) -> u16 {
    accepted(headers, &["application/json", "application/problem+json"])
}

/// Returns how much a request wants one of these media types, in thousandths; only what it names counts.
fn accepted(headers: &HeaderMap, kinds: &[&str]) -> u16 {
    let lists = headers.get_all(header::ACCEPT).iter().filter_map(|list| list.to_str().ok());
    let weights = lists.flat_map(|list| list.split(',')).filter_map(|range| {
        let (kind, parameters) = range.split_once(';').unwrap_or((range, ""));
        let is_named = kinds.iter().any(|known| kind.trim().eq_ignore_ascii_case(known));
        is_named.then(|| thousandths(parameters))
    });
    weights.max().unwrap_or(0)
}

/// Answers a request that does not name its host as it must.
pub fn bad_host() -> Response {
    let detail = "a request must have exactly one Host header, with a valid name";
    Error::new(StatusCode::BAD_REQUEST, "bad-host", "Bad host", detail).into_response()
}

/// Answers a request whose handler panicked.
pub fn failed() -> Error {
    let detail = "the server failed to answer this request";
    Error::new(StatusCode::INTERNAL_SERVER_ERROR, "server-error", "Server error", detail)
}

/// Answers a method that a path does not have.
pub async fn wrong_method(method: Method) -> Response {
    let detail = format!("{} is not a method of this path", method.as_str().chars().take(16).collect::<String>());
    let problem = Error::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", "Method not allowed", detail);
    ([(header::ALLOW, layers::ALLOW)], problem).into_response()
}
