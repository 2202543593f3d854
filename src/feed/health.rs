//! The health of a venue's connections, as shown on pages, in logs and in the API.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::market::{Market, VenueId, escape_unprintable};

/// Maximum number of problem kinds that are counted separately; codes and fields are our own constants, so it
/// is never reached.
const PROBLEMS_MAX: usize = 64;

/// Maximum number of markets that a venue's health lists; the counts beside the list are complete.
pub const MISSING_MAX: usize = 100;

/// How long an occurrence of a problem counts as recent.
const RECENT: SignedDuration = SignedDuration::from_secs(60);

/// An occurrence replaces the example of its problem only if that is at least this old, because each example is a text
/// to be formatted.
const EXAMPLE_INTERVAL: SignedDuration = SignedDuration::from_secs(1);

/// The state of the connection to a venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VenueState {
    /// Nothing received yet.
    Connecting,
    /// Streaming.
    Up,
    /// Polling because streaming is down or disabled.
    Delayed,
    /// Neither streaming nor polling works.
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

/// What went wrong, as a stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReasonCode {
    /// The host's name could not be resolved.
    Dns,
    /// The TCP connection failed.
    Connect,
    /// A step took longer than its deadline.
    Timeout,
    /// The certificate was rejected, or the TLS handshake failed.
    TlsRefused,
    /// The server answered the WebSocket upgrade with another status.
    Upgrade,
    /// An HTTP status other than 200.
    Http,
    /// 403 or 451: the venue does not serve this address.
    Blocked,
    /// 404 or 410 for the whole API.
    Retired,
    /// 429 or 418: requests are not allowed before a certain time.
    RateLimited,
    /// A redirect, which is never followed.
    Redirect,
    /// The response could not be parsed.
    Payload,
    /// The venue responded with an error of its own.
    Refused,
    /// The response omitted requested data.
    Unanswered,
    /// The connection was open, but no data came.
    Silent,
    /// The connection was closed.
    Closed,
    /// The venue responds, but none of its prices is accepted.
    Unbelieved,
    /// A field can't be parsed in many of its records.
    Unreadable,
    /// Some of the wanted markets lack a price, a base or a change.
    Incomplete,
}

impl ReasonCode {
    /// Every code.
    pub const ALL: [Self; 18] = [
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
        Self::Unanswered,
        Self::Silent,
        Self::Closed,
        Self::Unbelieved,
        Self::Unreadable,
        Self::Incomplete,
    ];

    /// Returns the code used in JSON and logs.
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
            Self::Unanswered => "unanswered",
            Self::Silent => "silent",
            Self::Closed => "closed",
            Self::Unbelieved => "unbelieved",
            Self::Unreadable => "unreadable",
            Self::Incomplete => "incomplete",
        }
    }
}

/// Why a connection does not work as expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The stable code.
    pub code: ReasonCode,
    /// What happened, for the operator: names the step, the host and the cause.
    pub message: String,
}

impl Reason {
    /// Creates a reason from a code and a message.
    pub fn new(code: ReasonCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A kind of rejected data, by reason and field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The stable code, as in [`VenueHealth::rejected`].
    pub code: &'static str,
    /// The field at fault, as the venue spells it, if there is one.
    pub field: Option<&'static str>,
    /// Number of occurrences since the start.
    pub count: u64,
    /// Number of wanted markets in which it occurred within the last minute.
    pub markets: usize,
    /// One of the occurrences, not necessarily the last.
    pub example: Example,
    /// Time of the last occurrence.
    pub last_at: Timestamp,
}

/// One occurrence of a [`Problem`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The market, if known.
    pub market: Option<Market>,
    /// What was rejected, shortened.
    pub text: String,
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.market {
            Some(market) => write!(f, "{market}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Counts rejected data by kind.
#[derive(Debug, Default)]
pub struct Problems(BTreeMap<Kind, Tally>);

/// A stable code, and the field at fault if there is one.
type Kind = (&'static str, Option<&'static str>);

#[derive(Debug)]
struct Tally {
    count: u64,
    example: Example,
    /// When the example occurred.
    example_at: Timestamp,
    last_at: Timestamp,
    /// Last occurrence in each market.
    markets: BTreeMap<Market, Timestamp>,
}

impl Problems {
    /// Counts one occurrence; calls `text` only if it becomes the example.
    pub fn add(&mut self, kind: Kind, market: Option<&Market>, text: impl FnOnce() -> String, at: Timestamp) {
        let full = self.0.len() >= PROBLEMS_MAX;
        let tally = match self.0.entry(kind) {
            Entry::Occupied(entry) => {
                let tally = entry.into_mut();
                if at.duration_since(tally.example_at).abs() >= EXAMPLE_INTERVAL {
                    tally.example = Example { market: market.cloned(), text: text() };
                    tally.example_at = at;
                }
                tally
            }
            Entry::Vacant(_) if full => return,
            Entry::Vacant(entry) => {
                let example = Example { market: market.cloned(), text: text() };
                entry.insert(Tally { count: 0, example, example_at: at, last_at: at, markets: BTreeMap::new() })
            }
        };
        tally.count += 1;
        tally.last_at = at;
        if let Some(market) = market {
            tally.markets.insert(market.clone(), at);
        }
    }

    /// Forgets all markets that are not `wanted`.
    pub fn retain_markets(&mut self, wanted: &BTreeSet<Market>) {
        self.0.values_mut().for_each(|tally| tally.markets.retain(|market, _| wanted.contains(market)));
    }

    /// Returns all problems as of `at`.
    pub fn list(&mut self, at: Timestamp) -> Vec<Problem> {
        let problems = self.0.iter_mut().map(|(&(code, field), tally)| {
            tally.markets.retain(|_, seen_at| at.duration_since(*seen_at).abs() <= RECENT);
            let Tally { count, last_at, ref example, ref markets, .. } = *tally;
            Problem { code, field, count, markets: markets.len(), example: example.clone(), last_at }
        });
        problems.collect()
    }
}

/// What a market is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MissingPart {
    /// A live price.
    Price,
    /// The base of its change.
    Base,
    /// Its change, although price and base are known.
    Change,
}

/// The code for a market with a name that means another asset at the venue, or that the venue's table lacks.
pub const UNKNOWN_NAME: &str = "unknown-name";

/// A wanted market without a live price, a base or a change, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The market.
    pub market: Market,
    /// What it is missing.
    pub lacks: MissingPart,
    /// The reason as a stable code: a [`ReasonCode`], a key of [`VenueHealth::rejected`], or one of the
    /// board's own codes.
    pub code: &'static str,
    /// The reason, for the operator.
    pub detail: String,
    /// Since when it has been missing.
    pub since: Timestamp,
}

/// The health of one venue, as returned by `/api/v1/venues`.
///
/// Ingest fills in the state of the connections; the board, which knows which prices are accepted, completes
/// it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VenueHealth {
    /// The venue.
    pub venue: VenueId,
    /// Its state.
    pub state: VenueState,
    /// When the state began.
    pub since: Timestamp,
    /// Why the state is not `up`, or what is wrong although it is.
    pub reason: Option<Reason>,
    /// From ingest: why the list of markets is considered incomplete, or could not be fetched for a long
    /// time. Becomes the `reason` if there is no other.
    #[serde(skip)]
    pub list_reason: Option<Reason>,
    /// From ingest: why the last request for the list of markets failed; `None` once a list has been parsed.
    #[serde(skip)]
    pub list_failed: Option<Reason>,
    /// From ingest: why the stream last failed. Kept after the stream is up again.
    #[serde(skip)]
    pub stream_failed: Option<Reason>,
    /// When data was last received, over any connection.
    pub data_at: Option<Timestamp>,
    /// The venue's clock minus ours, in milliseconds, estimated from its responses.
    pub clock_skew_ms: Option<i64>,
    /// No request is sent before this time (rate limit or ban).
    pub not_before: Option<Timestamp>,
    /// No stream connection is opened before this time (rate limit or ban).
    pub stream_not_before: Option<Timestamp>,
    /// Number of markets wanted from this venue.
    pub markets_wanted: usize,
    /// Number of markets with a live price.
    pub markets_live: usize,
    /// Connections opened since the start.
    pub connects: u64,
    /// REST requests since the start that were answered with an error, or not at all.
    pub requests_failed: u64,
    /// Minutes since the start whose close in the venue's candles differed from the one seen live.
    pub overruled: u64,
    /// Records and frames rejected since the start, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// The same by reason and field, each with an example.
    pub problems: Vec<Problem>,
    /// Wanted markets without a live price.
    pub without_price: usize,
    /// Wanted markets with a live price but without a base.
    pub without_base: usize,
    /// Wanted markets with a live price and all bases whose change can't be computed.
    pub without_change: usize,
    /// These markets, at most [`MISSING_MAX`]. Ingest fills in the causes it knows, market by market.
    pub missing: Vec<Missing>,
}

impl VenueHealth {
    /// Returns the health of a venue from which nothing has been received yet.
    pub fn new(venue: VenueId, wanted: usize, at: Timestamp) -> Self {
        Self {
            venue,
            state: VenueState::Connecting,
            since: at,
            reason: None,
            list_reason: None,
            list_failed: None,
            stream_failed: None,
            data_at: None,
            clock_skew_ms: None,
            not_before: None,
            stream_not_before: None,
            markets_wanted: wanted,
            markets_live: 0,
            connects: 0,
            requests_failed: 0,
            overruled: 0,
            rejected: BTreeMap::new(),
            problems: Vec::new(),
            without_price: 0,
            without_base: 0,
            without_change: 0,
            missing: Vec::new(),
        }
    }
}

/// Maximum length of a text of a peer that is repeated in a message, in characters.
const QUOTE_CHARS_MAX: usize = 160;

/// Returns a peer's text made safe for a log line: shortened, and without control characters.
pub fn quoted(text: &str) -> String {
    let mut out = escape_unprintable(&text.chars().take(QUOTE_CHARS_MAX).collect::<String>());
    if text.chars().nth(QUOTE_CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_a_steady_problem_is_renewed_once_a_second() {
        let mut problems = Problems::default();
        let at = |ms: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_millis(ms);
        let mut formatted = 0;
        for n in 0..=10 {
            let text = || {
                formatted += 1;
                format!("occurrence {n}")
            };
            problems.add(("malformed", None), None, text, at(n * 400));
        }
        let [problem] = problems.list(at(4000)).try_into().unwrap();
        assert_eq!((problem.count, problem.example.text.as_str(), formatted), (11, "occurrence 9", 4));
    }
}
