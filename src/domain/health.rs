//! How a venue's connection is doing, in words that a page, a log and a program can use.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Market, VenueId};

/// Most kinds of problems that are told apart; the words and fields are ours, so this is never reached.
const PROBLEMS_MAX: usize = 64;

/// Most markets that a venue's health names; the counts beside them are complete.
pub const MISSING_MAX: usize = 100;

/// A problem is one of now for this long.
const LATELY: SignedDuration = SignedDuration::from_secs(60);

/// The example of a problem is replaced by a newer one at most this often: each is a text to be made.
const EXAMPLE_EVERY: SignedDuration = SignedDuration::from_secs(1);

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
    /// The answer left out what was asked for.
    Unanswered,
    /// The connection was open and said nothing.
    Silent,
    /// The connection was closed.
    Closed,
    /// It answers, and none of its prices is believed.
    Unbelieved,
    /// A member of many of its records can't be read.
    Unreadable,
    /// Some of the wanted markets have no price, or no base.
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
            Self::Unanswered => "unanswered",
            Self::Silent => "silent",
            Self::Closed => "closed",
            Self::Unbelieved => "unbelieved",
            Self::Unreadable => "unreadable",
            Self::Incomplete => "incomplete",
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

/// Something that was refused, by reason and field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The stable word, as in [`VenueHealth::rejected`].
    pub code: &'static str,
    /// The member at fault, as the venue spells it, where it is one.
    pub field: Option<&'static str>,
    /// How often since the start.
    pub count: u64,
    /// In how many of the wanted markets within the last minute.
    pub markets: usize,
    /// One of them, not long ago.
    pub example: Example,
    /// When last.
    pub last_at: Timestamp,
}

/// One case of a [`Problem`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// Of which market, where that is known.
    pub market: Option<Market>,
    /// What was refused, shortened.
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

/// Counts what is refused.
#[derive(Debug, Default)]
pub struct Problems(BTreeMap<Kind, Tally>);

/// A stable word, and the member at fault where it is one.
type Kind = (&'static str, Option<&'static str>);

#[derive(Debug)]
struct Tally {
    count: u64,
    example: Example,
    last_at: Timestamp,
    /// When last in each market.
    markets: BTreeMap<Market, Timestamp>,
}

impl Problems {
    /// Counts one; `text` is made only now and then.
    pub fn add(&mut self, kind: Kind, market: Option<&Market>, text: impl FnOnce() -> String, at: Timestamp) {
        let full = self.0.len() >= PROBLEMS_MAX;
        let tally = match self.0.entry(kind) {
            Entry::Occupied(entry) => {
                let tally = entry.into_mut();
                if at.duration_since(tally.last_at).abs() >= EXAMPLE_EVERY {
                    tally.example = Example { market: market.cloned(), text: text() };
                }
                tally
            }
            Entry::Vacant(_) if full => return,
            Entry::Vacant(entry) => {
                let example = Example { market: market.cloned(), text: text() };
                entry.insert(Tally { count: 0, example, last_at: at, markets: BTreeMap::new() })
            }
        };
        tally.count += 1;
        tally.last_at = at;
        if let Some(market) = market {
            tally.markets.insert(market.clone(), at);
        }
    }

    /// Returns them all, as of `at`.
    pub fn list(&mut self, at: Timestamp) -> Vec<Problem> {
        let told = self.0.iter_mut().map(|(&(code, field), tally)| {
            tally.markets.retain(|_, then| at.duration_since(*then).abs() <= LATELY);
            let Tally { count, last_at, ref example, ref markets } = *tally;
            Problem { code, field, count, markets: markets.len(), example: example.clone(), last_at }
        });
        told.collect()
    }
}

/// What a market lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lacks {
    /// A price that is believed now.
    Price,
    /// What its change is measured against.
    Base,
    /// Its change, though both ends of it are known.
    Change,
}

/// A wanted market without a believed price, a base or a change, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Which.
    pub market: Market,
    /// What it lacks.
    pub lacks: Lacks,
    /// Why, as a stable word: one of [`ReasonCode`], of [`VenueHealth::rejected`], or of the board's own.
    pub code: &'static str,
    /// Why, for an operator.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
}

/// What `/api/v1/venues` says of one venue.
///
/// Ingest fills in what it knows of the links; the board, which knows what is believed, completes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VenueHealth {
    /// Which.
    pub venue: VenueId,
    /// How it is.
    pub state: VenueState,
    /// Since when.
    pub since: Timestamp,
    /// Why it is not `up`, or what is wrong although it is.
    pub reason: Option<Reason>,
    /// Why its list of markets is not believed to be whole, or could not be fetched for long, from ingest; it becomes a
    /// `reason` where there is no other.
    #[serde(skip)]
    pub list_reason: Option<Reason>,
    /// Why the last request for its list of markets failed, from ingest; `None` once one has been read.
    #[serde(skip)]
    pub list_failed: Option<Reason>,
    /// Why its stream last failed, from ingest. It stays when the stream is up again.
    #[serde(skip)]
    pub stream_failed: Option<Reason>,
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
    /// Markets whose price is believed now.
    pub markets_live: usize,
    /// Connections opened since the start.
    pub connects: u64,
    /// REST requests since the start that were answered with an error, or not at all.
    pub requests_failed: u64,
    /// Minutes since the start in which the venue's candle said something else than we had seen live.
    pub overruled: u64,
    /// Records and frames refused since the start, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// The same by reason and field, each with an example.
    pub problems: Vec<Problem>,
    /// Wanted markets without a believed price.
    pub without_price: usize,
    /// Wanted markets with a price that lack a base.
    pub without_base: usize,
    /// Wanted markets with a price and every base whose change can't be worked out.
    pub without_change: usize,
    /// These markets, at most [`MISSING_MAX`]; from ingest: what it knows of the cause, market by market.
    pub missing: Vec<Missing>,
}

impl VenueHealth {
    /// A venue that was not heard from yet.
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
