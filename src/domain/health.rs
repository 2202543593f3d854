//! How a venue's connection is doing, in words that a page, a log and a program can use.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::VenueId;

/// The state of the link to a venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VenueState {
    /// Not yet heard from.
    Connecting,
    /// Streaming.
    Up,
    /// Polling because streaming is down.
    Delayed,
    /// Neither.
    Down,
}

impl VenueState {
    /// Returns the word used in JSON and markup.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Delayed => "delayed",
            Self::Down => "down",
        }
    }
}

/// What went wrong, as a stable word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReasonCode {
    /// The host's name could not be resolved.
    Dns,
    /// No TCP connection.
    Connect,
    /// A step took longer than its deadline.
    Timeout,
    /// The certificate was refused, or the TLS handshake failed.
    TlsRefused,
    /// The WebSocket upgrade was answered with another status.
    Upgrade,
    /// An HTTP status outside 200.
    Http,
    /// 403 or 451: this address is not served.
    Blocked,
    /// 404 or 410 on the whole API.
    Retired,
    /// 429, or 418: not before a certain time.
    RateLimited,
    /// A redirect, which we never follow.
    Redirect,
    /// The answer could not be read.
    Payload,
    /// The venue answered with an error of its own.
    Refused,
    /// The connection was open and said nothing.
    Silent,
    /// The connection was closed.
    Closed,
}

impl ReasonCode {
    /// Every code.
    pub const ALL: [Self; 14] = [
        Self::Dns,
        Self::Connect,
        Self::Timeout,
        Self::TlsRefused,
        Self::Upgrade,
        Self::Http,
        Self::Blocked,
        Self::Retired,
        Self::RateLimited,
        Self::Redirect,
        Self::Payload,
        Self::Refused,
        Self::Silent,
        Self::Closed,
    ];

    /// Returns the word used in JSON and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::TlsRefused => "tls-refused",
            Self::Upgrade => "upgrade",
            Self::Http => "http",
            Self::Blocked => "blocked",
            Self::Retired => "retired",
            Self::RateLimited => "rate-limited",
            Self::Redirect => "redirect",
            Self::Payload => "payload",
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Closed => "closed",
        }
    }
}

/// Why a link is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The stable word.
    pub code: ReasonCode,
    /// What happened, for an operator: names the step, the host and the cause.
    pub message: String,
}

impl Reason {
    /// Joins a code and a message.
    pub fn new(code: ReasonCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What `/api/v1/venues` says of one venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VenueHealth {
    /// Which.
    pub venue: VenueId,
    /// How it is.
    pub state: VenueState,
    /// Since when.
    pub since: Timestamp,
    /// Why it is not `up`.
    pub reason: Option<Reason>,
    /// When data last came, by any way.
    pub data_at: Option<Timestamp>,
    /// The venue's clock minus ours, in milliseconds, as its answers tell.
    pub clock_skew_ms: Option<i64>,
    /// No request is sent before this time (a limit or a ban).
    pub not_before: Option<Timestamp>,
    /// No connection to its stream is opened before this time, likewise.
    pub stream_not_before: Option<Timestamp>,
    /// Markets we want from it.
    pub markets_wanted: usize,
    /// Markets that it has answered for on the present connections.
    pub markets_live: usize,
    /// Connections opened since the start.
    pub connects: u64,
    /// REST requests since the start that were answered with an error, or not at all.
    pub requests_failed: u64,
    /// Minutes since the start in which the venue's candle said something else than we had seen live.
    pub overruled: u64,
    /// Records and frames refused since the start, by reason.
    pub rejected: BTreeMap<String, u64>,
}
