//! A cached response body with its headers, plain and compressed, and the responses created from it.

use std::sync::OnceLock;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;

use super::super::layers;
use super::coding::{Coding, Effort};
use crate::api;

/// Immutable response body with its headers and compressed forms.
#[derive(Debug)]
pub struct CachedBody {
    /// All headers of a response, including the entity tag, without those of compression.
    head: HeaderMap,
    tag: String,
    plain: Bytes,
    effort: Effort,
    /// Compressed forms in the order of [`Coding::ALL`], each computed on first use.
    compressed: [OnceLock<Option<Compressed>>; 3],
}

#[derive(Debug)]
struct Compressed {
    head: HeaderMap,
    bytes: Bytes,
}

impl CachedBody {
    /// Creates a body from its headers; adds `ETag` and `Vary: accept-encoding` where they are missing.
    pub fn new(mut head: HeaderMap, plain: Bytes, effort: Effort) -> Self {
        layers::add_security_headers(&mut head);
        let existing = head.get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let tag = existing.unwrap_or_else(|| etag(&plain));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            head.insert(header::ETAG, tag);
        }
        if !head.contains_key(header::VARY) {
            head.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        Self { head, tag, plain, effort, compressed: [const { OnceLock::new() }; 3] }
    }

    /// Returns whether the body has these bytes and headers.
    pub fn matches(&self, head: &HeaderMap, plain: &[u8]) -> bool {
        let is_equal = |(name, value): (_, &HeaderValue)| self.head.get(name) == Some(value);
        self.plain == plain && head.iter().all(is_equal)
    }

    /// Creates the response to a request: the body in the preferred compression, or 304 if the client has it.
    pub fn respond(&self, request_headers: &HeaderMap) -> Response {
        if matches_etag(request_headers, &self.tag) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.headers_mut() = self.head.clone();
            response.headers_mut().remove(header::CONTENT_TYPE);
            return response;
        }
        let (head, bytes) = match Coding::negotiate(request_headers).and_then(|coding| self.compressed(coding)) {
            Some(compressed) => (&compressed.head, &compressed.bytes),
            None => (&self.head, &self.plain),
        };
        let mut response = Response::new(Body::from(bytes.clone()));
        *response.headers_mut() = head.clone();
        response
    }

    fn compressed(&self, coding: Coding) -> Option<&Compressed> {
        let compress = || {
            if self.is_compressed_format() {
                return None;
            }
            let bytes = coding.compress(&self.plain, self.effort)?;
            let mut head = self.head.clone();
            head.insert(header::CONTENT_ENCODING, coding.header());
            Some(Compressed { head, bytes })
        };
        self.compressed.get(coding as usize)?.get_or_init(compress).as_ref()
    }

    /// Returns whether the format is compressed by itself: a PNG.
    fn is_compressed_format(&self) -> bool {
        self.head.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "image/png")
    }
}

/// Returns a weak entity tag of the content, which is the same on every node, compressed or not.
pub fn etag(body: &[u8]) -> String {
    format_etag(api::fingerprint(body))
}

/// Formats a fingerprint as a weak entity tag.
pub fn format_etag(fingerprint: u64) -> String {
    format!("W/\"{fingerprint:016x}\"")
}

/// Returns whether `If-None-Match` contains `tag`, by weak comparison as in RFC 9110.
pub fn matches_etag(request_headers: &HeaderMap, tag: &str) -> bool {
    let opaque = tag.trim_start_matches("W/");
    let lists = request_headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.trim_start_matches("W/") == opaque)
}
