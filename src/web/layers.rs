//! What is the same for many routes: headers and compression.

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
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "ETag, Retry-After"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
];

/// Puts the headers of the API on its routes.
pub fn api<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes.method_not_allowed_fallback(super::error::wrong_method).layer(middleware::from_fn(api_headers))
}

async fn api_headers(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS { preflight() } else { next.run(request).await };
    mark(response.headers_mut());
    response
}

/// Puts the headers of the API on one answer.
pub fn mark(headers: &mut HeaderMap) {
    for (name, value) in API_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Answers a browser that asks before it sends `If-None-Match` from another origin.
fn preflight() -> Response {
    let headers = [
        (header::ALLOW, "GET, HEAD, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "If-None-Match, Last-Event-ID"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Compresses with brotli or gzip whatever is worth it.
pub fn compression() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new().compress_when(DefaultPredicate::new())
}
