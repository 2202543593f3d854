//! Requests and responses of pages: their options, security headers, framing rules and caching.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use crate::config::Board;
use crate::locale::{Lang, negotiate};
use crate::web::cache::Freshness;
use crate::web::state::{AppState, Boards};
use crate::widgets::bad_option::BadOption;
use crate::widgets::context::Placement;
use crate::widgets::widget_options::Options;

/// Caching of pages with prices, for browsers and shared caches.
const CACHE: &str = "public, max-age=1";

/// Allows scripts, styles, images and connections of this host only; nothing inline, and no strings parsed as HTML.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Further directives for pages that may not be framed.
const CSP_PAGE: &str = "form-action 'self'; frame-ancestors 'none'";

/// The request for a page.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest<'a> {
    /// The state of the server.
    pub app: &'a AppState,
    /// The boards.
    pub boards: &'a Boards,
    /// The request headers.
    pub headers: &'a HeaderMap,
    /// The query string.
    pub query: &'a str,
    /// Where the response body will be displayed.
    pub placement: Placement,
}

/// Returns a page from the response cache, rendering it if needed; 304 if the client has it already.
///
/// `key` identifies the content: requests with the same key get the same body. A body contains ages and the time, so it
/// is rendered again after a second.
///
/// # Errors
/// The error of `render`.
pub fn cached_page<E>(
    request: PageRequest<'_>,
    key: &str,
    render: impl FnOnce() -> Result<String, E>,
) -> Result<Response, E> {
    let PageRequest { app, boards, headers, query, placement } = request;
    // With a language in the query the response does not depend on the browser's preference.
    let vary = if names_language(query) { "accept-encoding" } else { "accept-encoding, accept-language" };
    let key = format!("{key} {vary}");
    app.response_cache().get_or_render(headers, boards.revision, key, Freshness::UntilSecond, || {
        let body = render()?;
        let mut head = HeaderMap::new();
        set_headers(&mut head, app, placement);
        head.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE));
        head.insert(header::VARY, HeaderValue::from_static(vary));
        Ok((head, Bytes::from(body)))
    })
}

fn names_language(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "lang" && !value.is_empty())
}

/// Returns an error page.
pub fn error_response(app: &AppState, placement: Placement, status: StatusCode, body: String) -> Response {
    let mut response = uncached_page(app, placement, status, body);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept, accept-language"));
    response
}

/// Returns a page for this request only, which is not cached anywhere.
pub fn uncached_page(app: &AppState, placement: Placement, status: StatusCode, body: String) -> Response {
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set_headers(response.headers_mut(), app, placement);
    response
}

/// Returns an error as plain text, for when the error page can't be rendered.
pub fn plain_error(app: &AppState, placement: Placement, status: StatusCode, body: String) -> Response {
    let mut response = error_response(app, placement, status, body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Sets content type, security headers and cross-origin headers of a page.
fn set_headers(headers: &mut HeaderMap, app: &AppState, placement: Placement) {
    let mut set = |name: header::HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_TYPE, "text/html; charset=utf-8");
    set(header::VARY, "accept-language");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    let rest = match placement {
        Placement::Page | Placement::NestedPage | Placement::Fragment => {
            set(header::X_FRAME_OPTIONS, "DENY");
            CSP_PAGE.to_owned()
        }
        Placement::Embed => format!("form-action 'none'; frame-ancestors {}", app.site().frame_ancestors),
    };
    // Allows embedding in pages that require this header.
    if matches!(placement, Placement::Embed | Placement::Fragment) {
        set(header::HeaderName::from_static("cross-origin-resource-policy"), "cross-origin");
    }
    // Cross-origin isolated pages only accept frames with this header; embed pages load nothing from other hosts.
    if placement == Placement::Embed {
        set(header::HeaderName::from_static("cross-origin-embedder-policy"), "require-corp");
    }
    if placement == Placement::Fragment {
        set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    }
    if let Ok(policy) = HeaderValue::from_str(&format!("{CSP}; {rest}")) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}

/// Renders a page or takes it from the cache. If rendering fails, logs the error and returns status 500.
pub fn rendered_page(
    request: PageRequest<'_>,
    key: &str,
    render: impl FnOnce() -> Result<String, askama::Error>,
) -> Response {
    cached_page(request, key, render).unwrap_or_else(|error| {
        tracing::error!(%error, "rendering a page failed; request answered with status 500");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        plain_error(request.app, request.placement, status, "internal error".to_owned())
    })
}

/// Returns the HTTP status of an invalid query.
pub fn status_of(bad: &BadOption) -> StatusCode {
    match bad {
        BadOption::NotFound { .. } => StatusCode::NOT_FOUND,
        BadOption::InvalidValue { .. } | BadOption::Query(_) => StatusCode::BAD_REQUEST,
    }
}

/// Parses the options of a query, see [`Options::read`].
///
/// # Errors
/// As [`Options::read`].
pub fn read_options<'a>(
    app: &'a AppState,
    boards: &'a [Board],
    headers: &HeaderMap,
    query: &str,
) -> Result<Options<'a>, BadOption> {
    Options::read(boards, app.default_options(), app.limits().markets_max, preferred_lang(headers), query)
}

/// Parses the options of a market page, see [`Options::for_market`].
///
/// # Errors
/// As [`Options::for_market`].
pub fn market_options<'a>(
    app: &'a AppState,
    boards: &'a [Board],
    headers: &HeaderMap,
    query: &str,
    id: &str,
) -> Result<Options<'a>, BadOption> {
    Options::for_market(boards, app.default_options(), preferred_lang(headers), query, id)
}

/// Returns the language that the request prefers.
pub fn preferred_lang(headers: &HeaderMap) -> Lang {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    negotiate(accepted.unwrap_or_default())
}
