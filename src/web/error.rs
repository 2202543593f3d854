//! Error responses: problem details (RFC 9457) for programs; for browsers, pages that say what was not found or which
//! parameter is invalid, with suggestions.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::layers::{self, parse_weight};
use super::pages::page_response::{self, PageRequest, preferred_lang, status_of};
use super::query::BadRequest;
use super::state::AppState;
use crate::api::{self, ProblemDetails};
use crate::locale::Lang;
use crate::options::{QUERY_BYTES_MAX, QueryError};
use crate::widgets::bad_option::BadOption;
use crate::widgets::context::Placement;
use crate::widgets::widget_options;

/// `Retry-After` of a request beyond a limit, in seconds.
const RETRY_SECS: u64 = 5;

/// Maximum number of folders in a path for which the error page uses relative URLs.
const FOLDERS_MAX: usize = 16;

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

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    lang: Lang,
    theme: &'static str,
    title: String,
    message: String,
    /// Similar names that exist, each with its URL if it has a page.
    near: Vec<(String, Option<String>)>,
    root: String,
    /// Every language with the URL of this page in it; empty inside an iframe.
    langs: Vec<(Lang, String)>,
}

#[derive(Template)]
#[template(path = "error_fragment.html")]
struct ErrorFragment {
    lang: Lang,
    message: String,
}

/// Placement, language and theme of an error page.
struct ErrorContext {
    lang: Lang,
    theme: &'static str,
    placement: Placement,
    root: String,
    langs: Vec<(Lang, String)>,
}

impl ErrorContext {
    /// Creates the context for the error of a page or fragment request.
    fn for_request(request: PageRequest<'_>) -> Self {
        let PageRequest { app, headers, query, placement, .. } = request;
        let root = if placement == Placement::Page { "" } else { "../" };
        let context = Self::for_path(app, headers, query, root);
        let langs = if placement == Placement::Embed { Vec::new() } else { context.langs };
        Self { placement, langs, ..context }
    }

    /// Creates the context for a page that is not framed; `root` is the relative path to the start page.
    fn for_path(app: &AppState, headers: &HeaderMap, query: &str, root: &str) -> Self {
        let defaults = app.default_options();
        Self {
            lang: widget_options::lang(defaults, preferred_lang(headers), query),
            theme: widget_options::theme(defaults, query).keyword(),
            placement: Placement::Page,
            root: root.to_owned(),
            langs: Lang::ALL.map(|lang| (lang, in_lang(query, lang))).into(),
        }
    }

    fn page(
        self,
        title: String,
        message: String,
        near: Vec<(String, Option<String>)>,
    ) -> Result<String, askama::Error> {
        let Self { lang, theme, root, langs, .. } = self;
        ErrorPage { lang, theme, title, message, near, root, langs }.render()
    }
}

/// Returns whether `Accept` prefers HTML to JSON, as browsers do.
fn wants_page(headers: &HeaderMap) -> bool {
    html_weight(headers) > json_weight(headers)
}

/// Returns whether `Accept` prefers JSON to HTML, as programs do.
fn wants_json(headers: &HeaderMap) -> bool {
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

/// Renders the error of an invalid query, as a page or as a fragment.
///
/// # Errors
/// If the template can't be rendered.
fn page(app: &AppState, bad: &BadOption, context: ErrorContext) -> Result<String, askama::Error> {
    let lang = context.lang;
    match (bad, context.placement) {
        (_, Placement::Fragment) => ErrorFragment { lang, message: message(bad, lang) }.render(),
        (BadOption::NotFound { name, value, near }, placement) => {
            let link = |suggested: &String| {
                let href = (placement != Placement::Embed).then(|| url_of(app, name, suggested, &context)).flatten();
                (suggested.clone(), href)
            };
            let near: Vec<_> = near.iter().map(link).collect();
            let message = if near.is_empty() { String::new() } else { did_you_mean(lang).to_owned() };
            context.page(missing(name, value, lang), message, near)
        }
        (_, Placement::Page | Placement::NestedPage | Placement::Embed) => {
            let title = lang.pick("잘못된 요청입니다", "Invalid request", "リクエストが正しくありません");
            context.page(title.to_owned(), message(bad, lang), Vec::new())
        }
    }
}

/// Renders the 404 page.
///
/// # Errors
/// If the template can't be rendered.
fn no_page(context: ErrorContext) -> Result<String, askama::Error> {
    let lang = context.lang;
    let title = lang.pick("페이지를 찾을 수 없습니다", "Page not found", "ページが見つかりません");
    let message = lang.pick("주소를 다시 확인해 주세요.", "Check the address.", "アドレスをご確認ください。");
    context.page(title.to_owned(), message.to_owned(), Vec::new())
}

/// Returns the URL of the page of a suggested market or board; `name` is the parameter, `word` its suggested value.
fn url_of(app: &AppState, name: &str, word: &str, context: &ErrorContext) -> Option<String> {
    let (root, lang) = (&context.root, context.lang);
    let part: String = url::form_urlencoded::byte_serialize(word.as_bytes()).collect();
    match name {
        "market" | "markets" => Some(format!("{root}market/{part}?lang={lang}")),
        "board" => {
            app.boards().iter().any(|board| board.id == word).then(|| format!("{root}./?board={part}&lang={lang}"))
        }
        _ => None,
    }
}

/// Returns a query with its language replaced.
fn in_lang(query: &str, lang: Lang) -> String {
    let query = if query.len() > QUERY_BYTES_MAX { "" } else { query };
    let rest = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "lang");
    let mut written = url::form_urlencoded::Serializer::new(String::from("?"));
    written.extend_pairs(rest).append_pair("lang", lang.as_str()).finish()
}

fn did_you_mean(lang: Lang) -> &'static str {
    lang.pick("비슷한 이름:", "Did you mean:", "もしかして:")
}

fn missing(name: &str, value: &str, lang: Lang) -> String {
    let what = match name {
        "board" => lang.pick("시세판이", "board", "ボード"),
        "widget" => lang.pick("위젯이", "widget", "ウィジェット"),
        _ => lang.pick("종목이", "market", "銘柄"),
    };
    lang.pick(
        format!("“{value}” {what} 없습니다"),
        format!("No {what} named “{value}”"),
        format!("「{value}」という{what}はありません"),
    )
}

/// Returns the message for an invalid query, in one or two sentences.
pub fn message(bad: &BadOption, lang: Lang) -> String {
    match bad {
        BadOption::InvalidValue { name, value, allowed } => {
            let allowed = allowed.text(lang);
            lang.pick(
                format!("{name}: “{value}” 값은 사용할 수 없습니다. 가능한 값: {allowed}"),
                format!("{name}: invalid value “{value}”. Allowed: {allowed}"),
                format!("{name}: 「{value}」は使えません。使える値: {allowed}"),
            )
        }
        BadOption::NotFound { name, value, near } if near.is_empty() => missing(name, value, lang),
        BadOption::NotFound { name, value, near } => {
            format!("{}. {} {}", missing(name, value, lang), did_you_mean(lang), near.join(", "))
        }
        BadOption::Query(QueryError::Repeated(name)) => lang.pick(
            format!("{name}: 한 번만 지정할 수 있습니다."),
            format!("{name} may be given only once."),
            format!("{name}: 一度だけ指定してください。"),
        ),
        BadOption::Query(QueryError::TooLong(_) | QueryError::TooMany(_)) => lang.pick(
            "주소의 매개변수가 너무 깁니다.".to_owned(),
            "The query is too long.".to_owned(),
            "クエリが長すぎます。".to_owned(),
        ),
    }
}

/// Returns the error response for an invalid query: JSON if the client prefers it, else a page or fragment.
pub fn invalid_query_response(request: PageRequest<'_>, bad: &BadOption) -> Response {
    let PageRequest { app, headers, placement, .. } = request;
    if wants_json(headers) {
        return match status_of(bad) {
            StatusCode::NOT_FOUND => Error::new(StatusCode::NOT_FOUND, "no-route", "Not found", bad.to_string()),
            status => Error::new(status, "bad-field", "Bad parameter", bad.to_string()),
        }
        .into_response();
    }
    match page(app, bad, ErrorContext::for_request(request)) {
        Ok(body) => page_response::error_response(app, placement, status_of(bad), body),
        Err(_) => page_response::plain_error(app, placement, status_of(bad), bad.to_string()),
    }
}

/// Returns the 404 page, or `None` if it can't be rendered; `root` is the relative path to the start page.
fn no_page_response(app: &AppState, headers: &HeaderMap, query: &str, root: &str) -> Option<Response> {
    let body = no_page(ErrorContext::for_path(app, headers, query, root)).ok()?;
    Some(page_response::error_response(app, Placement::Page, StatusCode::NOT_FOUND, body))
}

/// Answers a path without a route.
pub async fn no_route(State(app): State<AppState>, headers: HeaderMap, uri: Uri) -> Response {
    // Relative to the requested path, since a proxy may have removed a prefix.
    let folders = uri.path().matches('/').count().saturating_sub(1);
    let root = if folders > FOLDERS_MAX { format!("{}/", app.base_path()) } else { "../".repeat(folders) };
    not_found(&app, &headers, &uri, &root)
}

/// Returns a 404: a page for browsers, JSON for programs. `root` is the URL prefix of links to our own pages.
pub fn not_found(app: &AppState, headers: &HeaderMap, uri: &Uri, root: &str) -> Response {
    let page =
        wants_page(headers).then(|| no_page_response(app, headers, uri.query().unwrap_or_default(), root)).flatten();
    page.unwrap_or_else(|| {
        let path: String = uri.path().chars().take(128).collect();
        Error::new(StatusCode::NOT_FOUND, "no-route", "Not found", format!("path {path:?} not found")).into_response()
    })
}
