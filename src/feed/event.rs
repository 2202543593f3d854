//! Messages between the components: from ingest to the board, from the board to the hub, and between the board and the
//! store.
//!
//! The records of the store outlive the process. Each is self-contained: if one is lost or damaged, only its own contents
//! become unknown, and no other record becomes wrong.

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::VenueHealth;
use crate::market::{HourRecord, Market, Minute, Now, Price, Quote, SourceId, Ticker, VenueClock, VenueId};

/// A market is gone when this many complete lists in a row lack it, because a single one may be faulty. Its row is then
/// delisted. Ingest does not count it as lacking while it trades nevertheless, or while that is not known.
pub const MISSED_LISTS_MAX: u32 = 2;

/// How a ticker was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Pushed over a stream; no trade is missed between two tickers of the same session.
    Stream {
        /// Number of the connection, unique within the process.
        session: u64,
    },
    /// Fetched because the stream is down: the row is `delayed`.
    Poll,
    /// Fetched while the stream is up, to check on a market: a silent one, or one whose price is held back.
    Check,
}

/// A transport to a venue. A cool-down applies to one transport, or to both if they share a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// REST requests.
    Rest,
    /// New stream connections.
    Stream,
}

/// An event from a venue, in order of occurrence.
#[derive(Debug, Clone)]
pub enum Event {
    /// New figures, or a confirmation of the current ones.
    Ticker {
        /// The venue.
        venue: VenueId,
        /// The market.
        market: Market,
        /// The figures.
        ticker: Ticker,
        /// When the request was sent: the figures are no older than this. For a pushed message, when it was
        /// received.
        requested: Now,
        /// When we received them.
        received: Now,
        /// How they were received.
        via: Via,
    },
    /// A candle response that covers every minute of `span`.
    Settled {
        /// The venue.
        venue: VenueId,
        /// The market.
        market: Market,
        /// The closed minutes that it covers.
        span: Range<Minute>,
        /// The minutes of `span` that had a trade, with their close.
        closes: Vec<(Minute, Price)>,
    },
    /// The venue's list of markets.
    Listings {
        /// The venue.
        venue: VenueId,
        /// All markets in the list.
        listings: Vec<Listing>,
        /// Markets that exist although the list gives no details: their row could not be parsed, or the list
        /// omits them by mistake.
        unreadable: Vec<Market>,
        /// Wanted markets that the list lacks and that are not in `unreadable`, each with the number of lists in a row,
        /// including this one, that have lacked it; see [`MISSED_LISTS_MAX`]. It is less than that while it is to be
        /// determined whether the market still trades. A market that is nowhere here is not affected by the list.
        missing: Vec<(Market, u32)>,
        /// Wanted markets whose symbols stand for other assets, as the list shows.
        other_assets: Vec<Market>,
    },
    /// Tick sizes, from a venue whose list of markets does not include them.
    TickSizes {
        /// The venue.
        venue: VenueId,
        /// The tick size of each market that was requested and answered.
        sizes: Vec<(Market, Decimal)>,
    },
    /// The venue's clock, estimated from the dates of its responses.
    Clock {
        /// The venue.
        venue: VenueId,
        /// Its clock.
        clock: VenueClock,
    },
    /// The state of the connection to a venue.
    Health(VenueHealth),
}

/// One market as its venue lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The venue's symbol.
    pub symbol: String,
    /// Our name of the market.
    pub market: Market,
    /// The venue's Korean name of the base asset, if it has one.
    pub korean_name: Option<String>,
    /// The venue's English name of the base asset, if it has one.
    pub english_name: Option<String>,
    /// Tick size, if listed.
    pub tick_size: Option<Decimal>,
    /// Whether it is listed but does not trade.
    pub halted: bool,
    /// Whether a warning is in force, if the list reports it.
    pub warning: Option<bool>,
    /// The cautions in force, as the venue names them, if the list reports them.
    pub cautions: Option<Vec<String>>,
}

impl Listing {
    /// Returns the listing of a market that trades, without further details.
    pub fn new(symbol: impl Into<String>, market: Market) -> Self {
        Self {
            symbol: symbol.into(),
            market,
            korean_name: None,
            english_name: None,
            tick_size: None,
            halted: false,
            warning: None,
            cautions: None,
        }
    }
}

/// Priority of filling a gap, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// The base of a row is unknown: the candle just before the base time.
    Base,
    /// The newest minutes of the window are unknown: the end of a chart.
    Recent,
    /// Older minutes of the window are unknown.
    Older,
    /// Seen live, but not yet settled by a candle.
    Settle,
}

/// A range of minutes whose closes the board needs from the venue's candles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The venue.
    pub venue: VenueId,
    /// The market.
    pub market: Market,
    /// The minutes wanted; all of them are over.
    pub span: Range<Minute>,
    /// Priority.
    pub urgency: Urgency,
}

/// A price that is far from the live price before it, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jump {
    /// The venue.
    pub venue: VenueId,
    /// The market.
    pub market: Market,
    /// The price that is, or was, held back.
    pub held: Price,
    /// The price that is published.
    pub shown: Option<Price>,
    /// What became of it.
    pub status: JumpStatus,
}

/// A market whose name now stands for another listing; all data of the previous one is discarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relisting {
    /// The venue.
    pub venue: VenueId,
    /// The market.
    pub market: Market,
    /// The cause, for the operator.
    pub cause: String,
}

/// What became of the held price of a [`Jump`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JumpStatus {
    /// Held back until a second source confirms it.
    Held,
    /// Contradicted by the next price.
    Refuted,
    /// No longer held back.
    Released,
}

/// What the board publishes after a batch of events.
#[derive(Debug, Clone, Default)]
pub struct BoardUpdate {
    /// When the update was made, by our wall clock.
    pub at: Timestamp,
    /// Rows that differ from what was last published.
    pub changed: Vec<Arc<Quote>>,
    /// Rows that were only confirmed again; each was in `changed` of an earlier update.
    pub confirmed: Vec<Arc<Quote>>,
    /// Venues whose health changed.
    pub venues: Vec<VenueHealth>,
    /// Rows that no board has any more, by source and market.
    pub removed: Vec<(SourceId, Market)>,
    /// Whether all rows are in `changed`.
    pub is_complete: bool,
    /// Whether the boards have changed since the last update.
    pub is_revision: bool,
}

/// The latest figures of one market at one venue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRecord {
    /// Price of the last trade.
    pub last: Price,
    /// Venue time of that trade.
    pub venue_time: Option<Timestamp>,
    /// The venue's id of that trade.
    pub trade_id: Option<u64>,
    /// When we received it.
    pub received_at: Timestamp,
    /// When it was last confirmed, by our wall clock.
    pub confirmed_at: Timestamp,
    /// When it was last confirmed by the venue's clock; the change is measured as of this time. Absent in old
    /// records.
    pub confirmed_venue_time: Option<Timestamp>,
    /// Largest number of decimal places that the venue has sent.
    pub sent_places: u32,
    /// 24-hour high as reported by the venue.
    pub high_24h: Option<Price>,
    /// 24-hour low as reported by the venue.
    pub low_24h: Option<Price>,
    /// 24-hour volume in the base asset.
    pub base_volume_24h: Option<Decimal>,
    /// 24-hour volume in the quote asset.
    pub quote_volume_24h: Option<Decimal>,
}

/// What the venue's lists have shown about one market over time, by the venue's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListingRecord {
    /// When the current listing was first seen, if an earlier listing is known to have ended.
    pub since: Option<Timestamp>,
    /// Since when the market has been missing from the list.
    pub gone_since: Option<Timestamp>,
    /// Since when it has been listed without trading.
    pub halted_since: Option<Timestamp>,
}

impl ListingRecord {
    /// Returns this record, with the start of the listing from the older one if that is later or the only one
    /// known.
    #[must_use]
    pub fn merged(self, older: Option<Self>) -> Self {
        Self { since: self.since.max(older.and_then(|older| older.since)), ..self }
    }
}

/// New and changed records of one feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedRecords {
    /// The venue.
    pub venue: VenueId,
    /// The market.
    pub market: Market,
    /// Its latest figures, if they changed.
    pub last: Option<LastRecord>,
    /// Its listing record, if it changed.
    pub listing: Option<ListingRecord>,
    /// The hours of its window that changed.
    pub hours: Vec<HourRecord>,
    /// Whether all earlier records of the feed must be deleted: the name now stands for another listing.
    pub reset: bool,
}

/// Whether state is being persisted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreHealth {
    /// Whether state is being written to disk.
    pub persisting: bool,
    /// Since when `persisting` has had this value.
    pub since: Timestamp,
    /// Why state is not being written.
    pub reason: Option<String>,
    /// Time of the last write.
    pub saved_at: Option<Timestamp>,
}

/// Reports the health of the store.
pub trait StoreHealthSource: Send + Sync + std::fmt::Debug {
    /// Returns the current health without waiting for a disk.
    fn health(&self) -> StoreHealth;
}
