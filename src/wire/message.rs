//! What a stream says, message by message.

use jiff::Timestamp;
use serde::Serialize;

use super::{Basis, Row, RowDelta, VenueHealth, VenueState, time};
use crate::domain::{Reason, VenueId};

/// What a client calls its request, given back as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Id {
    /// A whole number.
    Number(u64),
    /// A short text.
    Text(String),
}

/// Names a group: the subscribers that get the same bytes. Sixteen hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupId(pub u64);

impl Serialize for GroupId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

/// The rows of one board or list, whole: the body of `/api/v1/snapshot`.
#[derive(Debug, Serialize)]
pub struct SnapshotBody<'a> {
    /// Which life of the numbering.
    pub epoch: &'a str,
    /// How far the rows are.
    pub sequence: u64,
    /// When the rows were last looked at; `null` before the first time.
    #[serde(serialize_with = "time::millis_or_null")]
    pub as_of: Option<Timestamp>,
    /// The board; `null` for a list of markets.
    pub board: Option<&'a str>,
    /// What the changes are measured against.
    pub basis: Basis,
    /// Said only where the prices are invented.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub demo: bool,
    /// What was asked for and is not known; left out where that is nothing.
    #[serde(skip_serializing_if = "is_empty")]
    pub missing: &'a [String],
    /// The rows, in the order of the board or of the request.
    pub rows: &'a [Row],
}

impl SnapshotBody<'_> {
    /// Returns a number made of what a reader is told, whenever that was looked at or confirmed: the same on every node.
    pub fn content_tag(&self) -> u64 {
        let rows: Vec<Row> = self.rows.iter().map(Row::timeless).collect();
        super::fingerprint(&super::json(&SnapshotBody { epoch: "", sequence: 0, as_of: None, rows: &rows, ..*self }))
    }
}

/// Rows that changed since `previous`: everything of a `delta` after its head.
#[derive(Debug, Serialize)]
pub struct Delta<'a> {
    /// Which life of the numbering.
    pub epoch: &'a str,
    /// How far the client is after it.
    pub sequence: u64,
    /// How far the client must be before it.
    pub previous: u64,
    /// The newest of each row that changed.
    pub rows: &'a [RowDelta<'a>],
}

/// The first message.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "welcome")]
pub struct Welcome<'a> {
    /// Version of the messages.
    pub protocol: u32,
    /// Which life of the numbering.
    pub epoch: &'a str,
    /// Our wall clock.
    #[serde(serialize_with = "time::millis")]
    pub server_time: Timestamp,
    /// Longest silence on a healthy subscription.
    pub heartbeat_ms: u64,
    /// Said only where the prices are invented.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub demo: bool,
    /// What a client may send.
    pub limits: Limits,
}

/// What a client may send.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Limits {
    /// Longest message.
    pub message_bytes: usize,
    /// Most messages in a second.
    pub messages_per_second: u32,
    /// Most subscriptions at once.
    pub subscriptions: usize,
    /// Most markets of all of them together.
    pub markets: usize,
    /// How soon the first subscription must come.
    pub subscribe_within_ms: u64,
}

/// How the link to a venue is.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "status")]
pub struct Status<'a> {
    /// To whom it is said.
    pub group: GroupId,
    /// Which life of the numbering.
    pub epoch: &'a str,
    /// How far the client is after it.
    pub sequence: u64,
    /// Which venue.
    pub venue: VenueId,
    /// How it is.
    pub state: VenueState,
    /// Why it is not `up`.
    pub reason: Option<&'a Reason>,
    /// Since when.
    #[serde(serialize_with = "time::millis")]
    pub since: Timestamp,
}

impl<'a> Status<'a> {
    /// Says how a venue is.
    pub fn new(group: GroupId, epoch: &'a str, sequence: u64, health: &'a VenueHealth) -> Self {
        let VenueHealth { venue, state, since, .. } = *health;
        Self { group, epoch, sequence, venue, state, reason: health.reason.as_ref(), since }
    }
}

/// Nothing changed, and we are here.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "heartbeat")]
pub struct Heartbeat<'a> {
    /// To whom it is said.
    pub group: GroupId,
    /// Which life of the numbering.
    pub epoch: &'a str,
    /// How far the client is.
    pub sequence: u64,
    /// When the rows were last looked at; `null` before the first time.
    #[serde(serialize_with = "time::millis_or_null")]
    pub as_of: Option<Timestamp>,
}

/// A request that was not understood or not allowed.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename = "error")]
pub struct ErrorMessage {
    /// The request, if it said.
    pub id: Option<Id>,
    /// The stable word.
    pub code: &'static str,
    /// What is wrong, where, and what is allowed.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// The member that is wrong: `resume.sequence`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// The server ends the connection on purpose.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "closing")]
pub struct Closing {
    /// Why.
    pub reason: &'static str,
    /// When to come back: another figure for each client, so that they do not come all at once.
    pub retry_after_ms: u64,
}

/// The answer to `ping`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "pong")]
pub struct Pong {
    /// The request, if it said.
    pub id: Option<Id>,
    /// Our wall clock.
    #[serde(serialize_with = "time::millis")]
    pub server_time: Timestamp,
}

/// The answer to `unsubscribe`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "unsubscribed")]
pub struct Unsubscribed {
    /// The request, if it said.
    pub id: Option<Id>,
}

/// What stands before the rest of a `snapshot` or `delta`.
#[derive(Debug, Serialize)]
pub struct Head<'a> {
    /// `snapshot` or `delta`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The request that it answers, if it does and the request said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a Id>,
    /// Whether the server could go on from where the client was, if it said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<bool>,
    /// To whom it is said.
    pub group: GroupId,
    /// What was asked for and is not known, where no snapshot says it.
    #[serde(skip_serializing_if = "is_empty")]
    pub missing: &'a [String],
}

fn is_empty(list: &&[String]) -> bool {
    list.is_empty()
}

impl Head<'_> {
    /// Returns its text up to the comma before the rest, which is a [`SnapshotBody`] or [`Delta`] without its first
    /// brace: that was encoded for everybody, and its bytes are not touched again.
    pub fn text(&self) -> Vec<u8> {
        let mut text = super::json(self);
        text.pop();
        text.push(b',');
        text
    }
}
