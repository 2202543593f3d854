//! The headers of a page: what it may load, who may frame it, how long it keeps.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::super::AppState;
use super::super::bodies::Life;

/// How long a page of prices may be served again, in a cache or a browser.
const CACHE: &str = "public, max-age=1";

/// Nothing but our own script, style sheet, images and connections; nothing inline, and no string parsed as HTML.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The rest of it, for a page that nobody may frame.
const CSP_PAGE: &str = "form-action 'self'; frame-ancestors 'none'";

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

/// A page of prices that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The server.
    pub app: &'a AppState,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// Its query.
    pub query: &'a str,
    /// Where the body will stand.
    pub frame: Frame,
}

/// Answers with a body of prices from memory, or 304 where the asker has it.
///
/// `key` says what is asked for as it was understood: the same key is the same body.
/// A body has ages and the time in it, so it is made anew each second.
///
/// # Errors
/// That of `render`.
pub fn html<E>(asked: Asked<'_>, key: &str, render: impl FnOnce() -> Result<String, E>) -> Result<Response, E> {
    let Asked { app, headers, query, frame } = asked;
    // Who names the language in the address gets the same whatever the browser prefers.
    let vary = if names_language(query) { "accept-encoding" } else { "accept-encoding, accept-language" };
    app.bodies().get(app, headers, format!("{key} {vary}"), Life::Second, || {
        let body = render()?;
        let mut head = HeaderMap::new();
        dress(&mut head, app, frame);
        head.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE));
        head.insert(header::VARY, HeaderValue::from_static(vary));
        Ok((head, Bytes::from(body)))
    })
}

fn names_language(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "lang" && !value.is_empty())
}

/// Answers with an error as HTML.
pub fn refusal(app: &AppState, frame: Frame, status: StatusCode, body: String) -> Response {
    let mut response = unkept(app, frame, status, body);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept, accept-language"));
    response
}

/// Answers with a page for this one asker: nobody keeps it, we least of all.
pub fn unkept(app: &AppState, frame: Frame, status: StatusCode, body: String) -> Response {
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    dress(response.headers_mut(), app, frame);
    response
}

/// Answers with an error as text, where even its page can't be made.
pub fn plain(app: &AppState, frame: Frame, status: StatusCode, body: String) -> Response {
    let mut response = refusal(app, frame, status, body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn dress(headers: &mut HeaderMap, app: &AppState, frame: Frame) {
    let mut set = |name: header::HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_TYPE, "text/html; charset=utf-8");
    set(header::VARY, "accept-language");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    let rest = match frame {
        Frame::Page | Frame::Deep | Frame::Fragment => {
            set(header::X_FRAME_OPTIONS, "DENY");
            CSP_PAGE.to_owned()
        }
        Frame::Embed => format!("form-action 'none'; frame-ancestors {}", app.site().frame_ancestors),
    };
    // Pages that let nothing in that does not say so let these in.
    if matches!(frame, Frame::Embed | Frame::Fragment) {
        set(header::HeaderName::from_static("cross-origin-resource-policy"), "cross-origin");
    }
    // A page that is isolated from other origins takes only frames that are as strict; ours load nothing from elsewhere.
    if frame == Frame::Embed {
        set(header::HeaderName::from_static("cross-origin-embedder-policy"), "require-corp");
    }
    if frame == Frame::Fragment {
        set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    }
    if let Ok(policy) = HeaderValue::from_str(&format!("{CSP}; {rest}")) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}
