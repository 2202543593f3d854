//! The headers of a page: what it may load, who may frame it, how long it keeps.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// How long a page of prices may be served again, in a cache or a browser.
const CACHE: &str = "public, max-age=1";

/// Nothing but our own script, style sheet, images and connections; nothing inline.
const CSP_PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The same for a page that anyone may frame.
const CSP_EMBED: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors *";

/// Where a body will stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// In a tab of its own; nobody may frame it.
    Page,
    /// The same, one folder down.
    Deep,
    /// In anyone's iframe.
    Embed,
    /// Inside another page; anyone may fetch it.
    Fragment,
}

/// Answers with a body of prices, or 304 where the asker has it.
pub fn html(asked: &HeaderMap, frame: Frame, body: String) -> Response {
    let tag = etag(body.as_bytes());
    let known = is_known(asked, &tag);
    let mut response = if known { StatusCode::NOT_MODIFIED.into_response() } else { Body::from(body).into_response() };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE));
    dress(headers, frame);
    if known {
        headers.remove(header::CONTENT_TYPE);
    }
    response
}

/// Answers with an error as HTML.
pub fn refusal(frame: Frame, status: StatusCode, body: String) -> Response {
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    dress(response.headers_mut(), frame);
    response
}

/// Answers with an error as text, where even its page can't be made.
pub fn plain(frame: Frame, status: StatusCode, body: String) -> Response {
    let mut response = refusal(frame, status, body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Returns a weak entity tag made from the content alone, so that it is the same on every node.
pub fn etag(body: &[u8]) -> String {
    // Hashed with fixed keys: it tells versions apart and protects nothing.
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("W/\"{:016x}\"", hasher.finish())
}

/// Returns whether the request's `If-None-Match` names `tag`, compared weakly.
pub fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    asked
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|list| list.split(',').any(|known| known.trim() == "*" || bare(known) == bare(tag)))
}

fn dress(headers: &mut HeaderMap, frame: Frame) {
    let mut set = |name: header::HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_TYPE, "text/html; charset=utf-8");
    set(header::VARY, "accept-language");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    match frame {
        Frame::Page | Frame::Deep => {
            set(header::CONTENT_SECURITY_POLICY, CSP_PAGE);
            set(header::X_FRAME_OPTIONS, "DENY");
        }
        Frame::Embed => set(header::CONTENT_SECURITY_POLICY, CSP_EMBED),
        Frame::Fragment => {
            set(header::CONTENT_SECURITY_POLICY, CSP_PAGE);
            set(header::X_FRAME_OPTIONS, "DENY");
            set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        }
    }
}
