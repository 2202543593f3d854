//! Markets, venues and readiness.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{Market, State, VenueHealth, VenueState, time};
use crate::feed::{Example, Missing, MissingPart, Problem, Reason, StoreHealth};
use crate::market::VenueId;

/// One market of `/api/v1/markets`.
#[derive(Debug, Serialize)]
pub struct MarketEntry<'a> {
    /// `BTC-KRW`.
    pub market: &'a Market,
    /// `BTC`.
    pub base: &'a str,
    /// `KRW`.
    pub quote: &'a str,
    /// Name of the base asset.
    pub names: MarketNames,
    /// The boards that show it.
    pub boards: Vec<&'a str>,
    /// The sources of its rows.
    pub sources: Vec<MarketSource<'a>>,
}

/// A name in each language.
#[derive(Debug, Serialize)]
pub struct MarketNames {
    /// Korean.
    pub ko: String,
    /// English.
    pub en: String,
    /// Japanese.
    pub ja: String,
}

/// One source of a market.
#[derive(Debug, Serialize)]
pub struct MarketSource<'a> {
    /// Its venues in order of preference.
    pub source: Vec<&'a str>,
    /// The venue in use now.
    pub venue: VenueId,
    /// Decimal places of the displayed price.
    pub digits: u32,
    /// State of the row.
    pub state: State,
}

/// One venue of `/api/v1/venues`.
#[derive(Debug, Serialize)]
pub struct VenueEntry<'a> {
    venue: VenueId,
    state: VenueState,
    #[serde(serialize_with = "time::millis")]
    since: Timestamp,
    reason: Option<&'a Reason>,
    #[serde(serialize_with = "time::millis_or_null")]
    data_at: Option<Timestamp>,
    clock_skew_ms: Option<i64>,
    #[serde(serialize_with = "time::millis_or_null")]
    not_before: Option<Timestamp>,
    #[serde(serialize_with = "time::millis_or_null")]
    stream_not_before: Option<Timestamp>,
    markets_wanted: usize,
    markets_live: usize,
    connects: u64,
    requests_failed: u64,
    overruled: u64,
    rejected: &'a BTreeMap<String, u64>,
    problems: Vec<ProblemEntry<'a>>,
    without_price: usize,
    without_base: usize,
    without_change: usize,
    missing: Vec<MissingEntry<'a>>,
}

/// One kind of rejected message.
#[derive(Debug, Serialize)]
struct ProblemEntry<'a> {
    code: &'a str,
    field: Option<&'a str>,
    count: u64,
    markets: usize,
    example: &'a Example,
    #[serde(serialize_with = "time::millis")]
    last_at: Timestamp,
}

/// One subscribed market without an accepted price, a base or a change.
#[derive(Debug, Serialize)]
struct MissingEntry<'a> {
    market: &'a Market,
    lacks: MissingPart,
    code: &'a str,
    detail: &'a str,
    #[serde(serialize_with = "time::millis")]
    since: Timestamp,
}

impl<'a> From<&'a VenueHealth> for VenueEntry<'a> {
    fn from(health: &'a VenueHealth) -> Self {
        let VenueHealth { venue, state, since, data_at, clock_skew_ms, .. } = *health;
        let VenueHealth { not_before, stream_not_before, overruled, .. } = *health;
        let VenueHealth { markets_wanted, markets_live, connects, requests_failed, .. } = *health;
        let VenueHealth { without_price, without_base, without_change, .. } = *health;
        let problems = health.problems.iter().map(|problem| {
            let Problem { code, field, count, markets, ref example, last_at } = *problem;
            ProblemEntry { code, field, count, markets, example, last_at }
        });
        let missing = health.missing.iter().map(|missing| {
            let Missing { ref market, lacks, code, ref detail, since } = *missing;
            MissingEntry { market, lacks, code, detail, since }
        });
        Self {
            venue,
            state,
            since,
            reason: health.reason.as_ref(),
            data_at,
            clock_skew_ms,
            not_before,
            stream_not_before,
            markets_wanted,
            markets_live,
            connects,
            requests_failed,
            overruled,
            rejected: &health.rejected,
            problems: problems.collect(),
            without_price,
            without_base,
            without_change,
            missing: missing.collect(),
        }
    }
}

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
pub struct Readiness<'a> {
    /// Whether the required condition holds: some board has a price, or a live one.
    pub ready: bool,
    /// Boards without any price yet.
    pub missing: Vec<&'a str>,
    /// Row counts of each board.
    pub boards: Vec<BoardReadiness<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// State of the store; absent if data is kept in memory only.
    pub store: Option<StoreEntry>,
}

/// Number of rows of a board by state.
#[derive(Debug, Serialize)]
pub struct BoardReadiness<'a> {
    /// Id of the board.
    pub board: &'a str,
    /// Number of all rows.
    pub rows: usize,
    /// Rows confirmed within the exchange's limit.
    pub live: usize,
    /// Rows confirmed within the limit by polling, because streaming is down or disabled.
    pub delayed: usize,
    /// Rows not confirmed within the limit.
    pub stale: usize,
    /// Rows of markets that the exchange has halted.
    pub halted: usize,
    /// Rows without a price.
    pub unknown: usize,
}

impl<'a> BoardReadiness<'a> {
    /// Counts the rows of `board`, of which `unpublished` have never been published.
    pub fn count(board: &'a str, states: impl Iterator<Item = State>, unpublished: usize) -> Self {
        let mut counts =
            Self { board, rows: unpublished, live: 0, delayed: 0, stale: 0, halted: 0, unknown: unpublished };
        for state in states {
            counts.rows += 1;
            *match state {
                State::Live => &mut counts.live,
                State::Delayed => &mut counts.delayed,
                State::Stale => &mut counts.stale,
                State::Halted => &mut counts.halted,
                State::Unknown => &mut counts.unknown,
            } += 1;
        }
        counts
    }

    /// Returns whether any row has a price, however old.
    pub fn has_price(&self) -> bool {
        self.unknown < self.rows
    }

    /// Returns whether any row has a current price.
    pub fn is_live(&self) -> bool {
        self.live + self.delayed > 0
    }
}

/// State of the store.
#[derive(Debug, Serialize)]
pub struct StoreEntry {
    /// Whether data is being written to disk.
    pub persisting: bool,
    /// Since when this state holds.
    #[serde(serialize_with = "time::millis")]
    pub since: Timestamp,
    /// Why data is not written.
    pub reason: Option<String>,
    /// Time of the last write.
    #[serde(serialize_with = "time::millis_or_null")]
    pub saved_at: Option<Timestamp>,
}

impl From<StoreHealth> for StoreEntry {
    fn from(health: StoreHealth) -> Self {
        let StoreHealth { persisting, since, reason, saved_at } = health;
        Self { persisting, since, reason, saved_at }
    }
}
