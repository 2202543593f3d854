//! Encoded updates: the JSON messages and, computed once on demand, their WebSocket frames.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use fanout::websocket;

use crate::api::{GroupId, MessageHead, RequestId};

/// What all messages and snapshots of a hub have in common: the epoch in them, and how many were encoded.
#[derive(Debug)]
pub(super) struct Encoding {
    pub epoch: String,
    pub frames_encoded: AtomicU64,
    pub snapshots_encoded: AtomicU64,
}

impl Encoding {
    pub fn new(epoch: String) -> Self {
        Self { epoch, frames_encoded: AtomicU64::new(0), snapshots_encoded: AtomicU64::new(0) }
    }
}

/// One update: its JSON messages and, computed once on demand, their WebSocket frames.
#[derive(Debug)]
pub struct EncodedUpdate {
    texts: Arc<[Bytes]>,
    plain: OnceLock<Bytes>,
    compressed: OnceLock<Bytes>,
}

impl EncodedUpdate {
    pub(super) fn new(texts: impl Into<Arc<[Bytes]>>) -> Self {
        Self { texts: texts.into(), plain: OnceLock::new(), compressed: OnceLock::new() }
    }

    /// Returns the JSON messages.
    pub fn texts(&self) -> &Arc<[Bytes]> {
        &self.texts
    }

    /// Returns the messages as consecutive WebSocket frames, compressed if `deflate`.
    ///
    /// The first call encodes them; later calls return the same bytes.
    pub fn frames(&self, deflate: bool) -> &Bytes {
        let cell = if deflate { &self.compressed } else { &self.plain };
        cell.get_or_init(|| {
            let mut frames = Vec::new();
            self.texts.iter().for_each(|text| websocket::write_text_frame(&mut frames, text, deflate));
            frames.into()
        })
    }
}

/// Body of a message shared by all subscribers: an encoded JSON object without its opening brace, compressed on
/// demand.
#[derive(Debug, Clone)]
pub(super) struct SharedBody {
    text: Bytes,
    compressed: Arc<OnceLock<Option<Bytes>>>,
}

impl SharedBody {
    /// Creates a body from an encoded JSON object.
    pub fn new(object: &Bytes) -> Self {
        Self { text: object.slice(1.min(object.len())..), compressed: Arc::default() }
    }

    fn compressed(&self) -> Option<&Bytes> {
        self.compressed.get_or_init(|| websocket::compress(&self.text).map(Bytes::from)).as_ref()
    }
}

/// Initial state of a subscription. Its head is specific to the subscriber, its body is shared.
#[derive(Debug)]
pub struct InitialState {
    /// The sequence of the subscriber after it.
    pub sequence: u64,
    pub(super) kind: &'static str,
    pub(super) recovered: Option<bool>,
    pub(super) group: GroupId,
    pub(super) body: SharedBody,
    pub(super) missing: Arc<[String]>,
    pub(super) statuses: Vec<Bytes>,
}

impl InitialState {
    /// Returns whether it continues from the sequence at which the subscriber resumes.
    pub fn is_recovery(&self) -> bool {
        self.recovered == Some(true)
    }

    fn head(&self, id: Option<&RequestId>) -> Vec<u8> {
        MessageHead { kind: self.kind, id, recovered: self.recovered, group: self.group, missing: &self.missing }
            .encode()
    }

    /// Returns the JSON messages; `id` is the subscriber's request id.
    pub fn texts(self, id: Option<&RequestId>) -> Vec<Bytes> {
        let mut first = self.head(id);
        first.extend_from_slice(&self.body.text);
        std::iter::once(first.into()).chain(self.statuses).collect()
    }

    /// Returns the WebSocket frames in parts, of which the long ones are shared.
    pub fn frames(&self, id: Option<&RequestId>, deflate: bool) -> Vec<Bytes> {
        let head = self.head(id);
        let compressed = deflate.then(|| websocket::stored_block(&head).zip(self.body.compressed())).flatten();
        let is_compressed = compressed.is_some();
        let (head, body) = compressed.map_or((head, &self.body.text), |(head, body)| (head, body));
        let mut first = Vec::with_capacity(head.len() + 10);
        websocket::write_header(&mut first, websocket::Opcode::Text, is_compressed, head.len() + body.len());
        first.extend_from_slice(&head);
        let mut parts = vec![first.into(), body.clone()];
        if !self.statuses.is_empty() {
            let mut frames = Vec::new();
            self.statuses.iter().for_each(|text| websocket::write_text_frame(&mut frames, text, deflate));
            parts.push(frames.into());
        }
        parts
    }
}
