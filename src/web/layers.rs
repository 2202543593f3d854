//! Middleware of many or all responses: `OPTIONS`, headers and compression.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate};

/// Headers of every response of the API. The data is public and needs no credentials, so any origin may read it.
const API_HEADERS: [(HeaderName, &str); 7] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "ETag, Retry-After, X-Missing-Markets"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
];

/// Headers of every response, unless its route sets other values.
const SECURITY_HEADERS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

/// Header line by which a response with our security headers is recognised.
pub const OWN_RESPONSE_MARK: &str = "x-content-type-options: nosniff\r\n";

/// Returns the security headers as lines of a response head.
pub fn security_lines() -> String {
    SECURITY_HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

/// Methods allowed on every path.
pub const ALLOW: &str = "GET, HEAD, OPTIONS";

/// Answers `OPTIONS` on every path, whether it exists or not, and adds the security headers to every response.
pub async fn options_and_security(request: Request, next: Next) -> Response {
    let mut response =
        if request.method() == Method::OPTIONS { options(request.headers()) } else { next.run(request).await };
    add_security_headers(response.headers_mut());
    response
}

/// Adds the security headers that a response lacks.
pub fn add_security_headers(headers: &mut HeaderMap) {
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// Adds the API headers to a response of the API.
pub async fn api_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    add_api_headers(response.headers_mut());
    response
}

/// Adds the API headers to one response.
pub fn add_api_headers(headers: &mut HeaderMap) {
    for (name, value) in API_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Answers `OPTIONS`: health checks of proxies and CORS preflight requests.
///
/// Everything is public and takes no credentials, so any header is allowed. The requested names are echoed,
/// since `*` does not cover `Authorization` and older browsers take it for a literal name.
fn options(request_headers: &HeaderMap) -> Response {
    let any = HeaderValue::from_static("*");
    let allowed = request_headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or(&any).clone();
    let headers = [
        (header::ALLOW, ALLOW),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, ALLOW),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
        (header::VARY, "access-control-request-headers"),
    ];
    (StatusCode::NO_CONTENT, headers, [(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed)]).into_response()
}

/// Compresses responses with brotli or gzip where it pays off.
pub fn compression() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new().compress_when(DefaultPredicate::new())
}
