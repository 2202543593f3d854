//! Persistence records: one hour of a window, and the last figures and the listing of a feed.
//!
//! Each record is self-contained: if one is lost or damaged, only its own contents become unknown, and no
//! other record becomes wrong.

use std::ops::Range;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::{Market, Minute, Price, VenueId};

/// Minutes in the record of an hour.
pub const MINUTES_PER_HOUR: i64 = 60;

/// What a window knows about one hour of UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourRecord {
    /// The first minute; a multiple of [`MINUTES_PER_HOUR`].
    pub hour: Minute,
    /// The last trade of each minute that had one: minute, trade time, price. Oldest first.
    pub closes: Vec<(Minute, Timestamp, Price)>,
    /// Bit `n` is set if minute `n` is covered: its close is known, or it is known to have had no trade.
    pub covered: u64,
    /// Bit `n` is set if a candle response covered minute `n`.
    pub settled: u64,
    /// The close in effect at the start of the hour, with its minute, if known: no trade lies in between.
    pub close_before: Option<(Minute, Price)>,
}

impl HourRecord {
    /// Returns the first minute of the hour that contains `minute`.
    pub fn hour_of(minute: Minute) -> Minute {
        Minute(minute.0.div_euclid(MINUTES_PER_HOUR) * MINUTES_PER_HOUR)
    }

    /// Combines this record with an older one of the same hour.
    ///
    /// Where both know a minute, the exchange's candle takes precedence over live data, and then this record
    /// over the older one.
    #[must_use]
    pub fn merged(self, older: &Self) -> Self {
        debug_assert_eq!(self.hour, older.hour);
        let live = self.covered & !self.settled;
        let from_older = older.covered & (!self.covered | (live & older.settled));
        let mut closes: Vec<_> =
            older.closes.iter().filter(|close| older.is_set(from_older, close.0)).copied().collect();
        closes.extend(self.closes.iter().filter(|close| !self.is_set(from_older, close.0)));
        closes.sort_by_key(|close| close.0);
        Self {
            hour: self.hour,
            closes,
            covered: self.covered | older.covered,
            settled: self.settled | (older.settled & from_older),
            close_before: self.close_before.or(older.close_before),
        }
    }

    /// Returns whether the bit of `minute` is set in `bits`; `false` outside this hour.
    pub fn is_set(&self, bits: u64, minute: Minute) -> bool {
        (0..MINUTES_PER_HOUR).contains(&(minute.0 - self.hour.0)) && bits >> (minute.0 - self.hour.0) & 1 == 1
    }
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

/// Source of the hour records of the past.
pub trait HourSource: Send + Sync + std::fmt::Debug {
    /// Returns the records of the hours that overlap `span`, oldest first; hours without data are omitted.
    ///
    /// May block on a disk: do not call it on an async thread.
    ///
    /// # Errors
    /// A message that says what could not be read.
    fn hours(&self, venue: VenueId, market: &Market, span: Range<Minute>) -> Result<Vec<HourRecord>, String>;
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
