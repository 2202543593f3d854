//! What many or all answers have in common: `OPTIONS`, headers and compression.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate};

/// Headers of every answer of the API. Public data without credentials: any origin may read it.
const API_HEADERS: [(HeaderName, &str); 7] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "ETag, Retry-After, X-Missing-Markets"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
];

/// Headers that every answer has, unless its route says something else.
const SECURITY_HEADERS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

/// What no answer of ours is without, as a response's head spells it.
pub const MARK: &str = "x-content-type-options: nosniff\r\n";

/// Returns the security headers as lines of a response's head.
pub fn security_lines() -> String {
    SECURITY_HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

/// The methods of every path.
pub const ALLOW: &str = "GET, HEAD, OPTIONS";

/// Answers `OPTIONS` on every path, whether anything is there or not, and puts the security headers on every answer.
pub async fn every(request: Request, next: Next) -> Response {
    let mut response =
        if request.method() == Method::OPTIONS { options(request.headers()) } else { next.run(request).await };
    secure(response.headers_mut());
    response
}

/// Adds the security headers that an answer does not have yet.
pub fn secure(headers: &mut HeaderMap) {
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// Puts the headers of the API on its routes.
pub fn api<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes.method_not_allowed_fallback(super::error::wrong_method).layer(middleware::from_fn(api_headers))
}

async fn api_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    mark(response.headers_mut());
    response
}

/// Puts the headers of the API on one answer.
pub fn mark(headers: &mut HeaderMap) {
    for (name, value) in API_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Answers a health check of a proxy, and a browser that asks before it sends a header from another origin.
///
/// Everything here is public and knows no credential, so any header may be sent. The asked names are repeated:
/// `*` would leave out `Authorization`, and older browsers read it as a name.
fn options(asked: &HeaderMap) -> Response {
    let any = HeaderValue::from_static("*");
    let allowed = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or(&any).clone();
    let headers = [
        (header::ALLOW, ALLOW),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, ALLOW),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
        (header::VARY, "access-control-request-headers"),
    ];
    (StatusCode::NO_CONTENT, headers, [(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed)]).into_response()
}

/// Compresses with brotli or gzip whatever is worth it.
pub fn compression() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new().compress_when(DefaultPredicate::new())
}
