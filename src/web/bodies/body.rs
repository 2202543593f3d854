//! One body with its headers, as it is and compressed, and the answers made of it.

use std::sync::OnceLock;

use axum::body::Body as AnswerBody;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;

use super::super::layers;
use super::coding::{Coding, Effort};
use crate::wire;

/// A body that many are answered with. It never changes.
#[derive(Debug)]
pub struct Body {
    /// Every header of an answer, the entity tag among them, but for those of the compression.
    head: HeaderMap,
    tag: String,
    plain: Bytes,
    effort: Effort,
    /// By [`Coding::ALL`]; each made when it is first asked for.
    packed: [OnceLock<Option<Packed>>; 3],
}

#[derive(Debug)]
struct Packed {
    head: HeaderMap,
    bytes: Bytes,
}

impl Body {
    /// Joins a body and its headers; tag and `Vary: accept-encoding` are added where they are not there.
    pub fn new(mut head: HeaderMap, plain: Bytes, effort: Effort) -> Self {
        layers::secure(&mut head);
        let given = head.get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let tag = given.unwrap_or_else(|| tag(&plain));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            head.insert(header::ETAG, tag);
        }
        if !head.contains_key(header::VARY) {
            head.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        Self { head, tag, plain, effort, packed: [const { OnceLock::new() }; 3] }
    }

    /// Whether this is those bytes with those headers.
    pub fn is(&self, head: &HeaderMap, plain: &[u8]) -> bool {
        let same = |(name, value): (_, &HeaderValue)| self.head.get(name) == Some(value);
        self.plain == plain && head.iter().all(same)
    }

    /// Answers with the body in the compression that the asker likes best, or with 304 where the asker has it.
    pub fn answer(&self, asked: &HeaderMap) -> Response {
        if is_known(asked, &self.tag) {
            let mut response = Response::new(AnswerBody::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.headers_mut() = self.head.clone();
            response.headers_mut().remove(header::CONTENT_TYPE);
            return response;
        }
        let (head, bytes) = match Coding::of(asked).and_then(|coding| self.packed(coding)) {
            Some(packed) => (&packed.head, &packed.bytes),
            None => (&self.head, &self.plain),
        };
        let mut response = Response::new(AnswerBody::from(bytes.clone()));
        *response.headers_mut() = head.clone();
        response
    }

    fn packed(&self, coding: Coding) -> Option<&Packed> {
        let pack = || {
            if self.is_packed_already() {
                return None;
            }
            let bytes = coding.pack(&self.plain, self.effort)?;
            let mut head = self.head.clone();
            head.insert(header::CONTENT_ENCODING, coding.header());
            Some(Packed { head, bytes })
        };
        self.packed.get(coding as usize)?.get_or_init(pack).as_ref()
    }

    /// A PNG is compressed by itself.
    fn is_packed_already(&self) -> bool {
        self.head.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "image/png")
    }
}

/// Returns a weak entity tag made of the content alone, so that it is the same on every node, compressed or not.
pub fn tag(body: &[u8]) -> String {
    tag_of(wire::fingerprint(body))
}

/// Returns the tag of a content with this fingerprint.
pub fn tag_of(fingerprint: u64) -> String {
    format!("W/\"{fingerprint:016x}\"")
}

/// Whether the request's `If-None-Match` names `tag`; compared weakly, as RFC 9110 has it: `W/` makes no difference.
pub fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let opaque = tag.trim_start_matches("W/");
    let lists = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.trim_start_matches("W/") == opaque)
}
