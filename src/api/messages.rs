//! Messages of a stream, and the problem details (RFC 9457) that answer a request that failed.

use jiff::Timestamp;
use serde::Serialize;

use super::{Basis, Row, RowDelta, VenueHealth, VenueState, time};
use crate::feed::Reason;
use crate::market::VenueId;

/// Id that a client gives to a request; echoed unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RequestId {
    /// A whole number.
    Number(u64),
    /// A short string.
    Text(String),
}

/// Id of a group of subscribers that get the same bytes. Encoded as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupId(pub u64);

impl Serialize for GroupId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

/// All rows of a board or list of markets: the body of `/api/v1/snapshot`.
#[derive(Debug, Serialize)]
pub struct SnapshotBody<'a> {
    /// The epoch of the sequence.
    pub epoch: &'a str,
    /// The sequence of the rows.
    pub sequence: u64,
    /// Time of the board's last batch; `null` before the first.
    #[serde(serialize_with = "time::millis_or_null")]
    pub as_of: Option<Timestamp>,
    /// Id of the board; `null` for a list of markets.
    pub board: Option<&'a str>,
    /// The basis of the changes.
    pub basis: Basis,
    /// Whether the prices are simulated; omitted if not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub demo: bool,
    /// Requested markets that are unknown; omitted if there are none.
    #[serde(skip_serializing_if = "is_empty")]
    pub missing: &'a [String],
    /// The rows, in the order of the board or of the request.
    pub rows: &'a [Row],
}

impl SnapshotBody<'_> {
    /// Returns a fingerprint of the content without epoch, sequence, `as_of` and times of confirmation: the same
    /// on every node.
    pub fn content_tag(&self) -> u64 {
        let rows: Vec<Row> = self.rows.iter().map(Row::without_confirmation).collect();
        super::fingerprint(&super::json(&SnapshotBody { epoch: "", sequence: 0, as_of: None, rows: &rows, ..*self }))
    }
}

/// Rows that changed since `previous`: the body of a `delta`, without its head.
#[derive(Debug, Serialize)]
pub struct Delta<'a> {
    /// The epoch of the sequence.
    pub epoch: &'a str,
    /// The sequence of the client after it.
    pub sequence: u64,
    /// The sequence that the client must have before it.
    pub previous: u64,
    /// The changed members of each changed row.
    pub rows: &'a [RowDelta<'a>],
}

/// The first message of a stream.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "welcome")]
pub struct Welcome<'a> {
    /// Version of the protocol.
    pub protocol: u32,
    /// The epoch of the sequence.
    pub epoch: &'a str,
    /// Wall-clock time of the server.
    #[serde(serialize_with = "time::millis")]
    pub server_time: Timestamp,
    /// Maximum time between two messages of a healthy subscription.
    pub heartbeat_ms: u64,
    /// Whether the prices are simulated; omitted if not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub demo: bool,
    /// Limits of the client.
    pub limits: Limits,
}

/// Limits of a stream client.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Limits {
    /// Maximum length of a message in bytes.
    pub message_bytes: usize,
    /// Maximum number of messages per second.
    pub messages_per_second: u32,
    /// Maximum number of subscriptions at once.
    pub subscriptions: usize,
    /// Maximum number of markets in all subscriptions together.
    pub markets: usize,
    /// Time within which the client must subscribe.
    pub subscribe_within_ms: u64,
}

/// Connection state of a venue.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "status")]
pub struct Status<'a> {
    /// The group that the message is for.
    pub group: GroupId,
    /// The epoch of the sequence.
    pub epoch: &'a str,
    /// The sequence of the client after it.
    pub sequence: u64,
    /// The venue.
    pub venue: VenueId,
    /// The connection state.
    pub state: VenueState,
    /// Why the state is not `up`.
    pub reason: Option<&'a Reason>,
    /// Since when this state holds.
    #[serde(serialize_with = "time::millis")]
    pub since: Timestamp,
}

impl<'a> Status<'a> {
    /// Creates the message from a venue's health.
    pub fn new(group: GroupId, epoch: &'a str, sequence: u64, health: &'a VenueHealth) -> Self {
        let VenueHealth { venue, state, since, .. } = *health;
        Self { group, epoch, sequence, venue, state, reason: health.reason.as_ref(), since }
    }
}

/// Sent when nothing has changed for a while.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "heartbeat")]
pub struct Heartbeat<'a> {
    /// The group that the message is for.
    pub group: GroupId,
    /// The epoch of the sequence.
    pub epoch: &'a str,
    /// The sequence of the client.
    pub sequence: u64,
    /// Time of the board's last batch; `null` before the first.
    #[serde(serialize_with = "time::millis_or_null")]
    pub as_of: Option<Timestamp>,
}

/// Error response to a request that is invalid or exceeds a limit.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename = "error")]
pub struct ErrorMessage {
    /// Id of the request, if it has one.
    pub id: Option<RequestId>,
    /// Stable error code.
    pub code: &'static str,
    /// Description of the error, with the allowed values where they are a list.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// The invalid member, such as `resume.sequence`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// Announces that the server closes the connection.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "closing")]
pub struct Closing {
    /// Reason of the close.
    pub reason: &'static str,
    /// Time to wait before reconnecting; random, so that clients do not reconnect all at once.
    pub retry_after_ms: u64,
}

/// Response to `ping`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "pong")]
pub struct Pong {
    /// Id of the request, if it has one.
    pub id: Option<RequestId>,
    /// Wall-clock time of the server.
    #[serde(serialize_with = "time::millis")]
    pub server_time: Timestamp,
}

/// Response to `unsubscribe`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "unsubscribed")]
pub struct Unsubscribed {
    /// Id of the request, if it has one.
    pub id: Option<RequestId>,
}

/// Head of a `snapshot` or `delta` message: the members that differ between subscribers.
#[derive(Debug, Serialize)]
pub struct MessageHead<'a> {
    /// `snapshot` or `delta`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Id of the request that the message answers, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a RequestId>,
    /// Whether the stream was resumed, if the request asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<bool>,
    /// The group that the message is for.
    pub group: GroupId,
    /// Requested markets that are unknown, if no snapshot body lists them.
    #[serde(skip_serializing_if = "is_empty")]
    pub missing: &'a [String],
}

fn is_empty(list: &&[String]) -> bool {
    list.is_empty()
}

impl MessageHead<'_> {
    /// Encodes the head up to the comma before the body. The body is a [`SnapshotBody`] or [`Delta`] without
    /// its opening brace, encoded once for all subscribers.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = super::json(self);
        text.pop();
        text.push(b',');
        text
    }
}

/// Error response to an HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProblemDetails {
    /// `urn:sisepan:problem:` and the stable error code.
    #[serde(rename = "type")]
    pub kind: String,
    /// Title of the error code.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Description of what is wrong with this request.
    pub detail: String,
    /// The invalid query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// Its value, truncated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The allowed values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
}

impl ProblemDetails {
    /// Creates a problem without parameter, value and allowed values.
    pub fn new(status: u16, code: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:sisepan:problem:{code}"),
            title,
            status,
            detail: detail.into(),
            parameter: None,
            value: None,
            allowed: Vec::new(),
        }
    }
}
