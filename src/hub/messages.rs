//! What a member is told in one step: texts, and the same as WebSocket frames, encoded once for all who want them.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::websocket;
use crate::wire::{GroupId, Head, Id};

/// Texts that belong together.
#[derive(Debug)]
pub struct Messages {
    texts: Arc<[Bytes]>,
    plain: OnceLock<Bytes>,
    packed: OnceLock<Bytes>,
}

impl Messages {
    pub(super) fn new(texts: impl Into<Arc<[Bytes]>>) -> Self {
        Self { texts: texts.into(), plain: OnceLock::new(), packed: OnceLock::new() }
    }

    /// Returns the texts.
    pub fn texts(&self) -> &Arc<[Bytes]> {
        &self.texts
    }

    /// Returns them as WebSocket frames, one behind the other, for readers that take compression or not.
    ///
    /// Made at the first call, and the same bytes from then on.
    pub fn frames(&self, deflate: bool) -> &Bytes {
        let cell = if deflate { &self.packed } else { &self.plain };
        cell.get_or_init(|| {
            let mut frames = Vec::new();
            self.texts.iter().for_each(|text| websocket::text_frame(&mut frames, text, deflate));
            frames.into()
        })
    }
}

/// A body that was encoded for everybody, without its first brace, and its compressed form once somebody wants that.
#[derive(Debug, Clone)]
pub(super) struct Body {
    text: Bytes,
    packed: Arc<OnceLock<Option<Bytes>>>,
}

impl Body {
    /// Takes a JSON object.
    pub fn new(object: &Bytes) -> Self {
        Self { text: object.slice(1.min(object.len())..), packed: Arc::default() }
    }

    fn packed(&self) -> Option<&Bytes> {
        self.packed.get_or_init(|| websocket::pack(&self.text).map(Bytes::from)).as_ref()
    }
}

/// What a subscription begins with. Its head is the subscriber's own, the rest is everybody's.
#[derive(Debug)]
pub struct Answer {
    /// How far the subscriber is after it.
    pub sequence: u64,
    pub(super) kind: &'static str,
    pub(super) recovered: Option<bool>,
    pub(super) group: GroupId,
    pub(super) body: Body,
    pub(super) missing: Arc<[String]>,
    pub(super) statuses: Vec<Bytes>,
}

impl Answer {
    /// Whether it goes on from where the subscriber was.
    pub fn is_recovery(&self) -> bool {
        self.recovered == Some(true)
    }

    fn head(&self, id: Option<&Id>) -> Vec<u8> {
        Head { kind: self.kind, id, recovered: self.recovered, group: self.group, missing: &self.missing }.text()
    }

    /// Returns the messages; `id` is what the subscriber calls its request.
    pub fn texts(self, id: Option<&Id>) -> Vec<Bytes> {
        let mut first = self.head(id);
        first.extend_from_slice(&self.body.text);
        std::iter::once(first.into()).chain(self.statuses).collect()
    }

    /// Returns them as parts of WebSocket frames; the long ones are shared.
    pub fn frames(&self, id: Option<&Id>, deflate: bool) -> Vec<Bytes> {
        let head = self.head(id);
        let packed = deflate.then(|| websocket::stored(&head).zip(self.body.packed())).flatten();
        let is_packed = packed.is_some();
        let (head, body) = packed.map_or((head, &self.body.text), |(head, body)| (head, body));
        let mut first = Vec::with_capacity(head.len() + 10);
        websocket::head(&mut first, websocket::Opcode::Text, is_packed, head.len() + body.len());
        first.extend_from_slice(&head);
        let mut parts = vec![first.into(), body.clone()];
        if !self.statuses.is_empty() {
            let mut frames = Vec::new();
            self.statuses.iter().for_each(|text| websocket::text_frame(&mut frames, text, deflate));
            parts.push(frames.into());
        }
        parts
    }
}
