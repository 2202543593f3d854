//! What outlives the process: an hour of a window, and the last word of a feed.
//!
//! A record stands alone: should one be lost or damaged, what it knew is not
//! known any more, and nothing that the others say becomes false by it.

use std::ops::Range;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::{Market, Minute, Price, VenueId};

/// Minutes in the record of an hour.
pub const HOUR: i64 = 60;

/// What a window knows of one hour of UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourRecord {
    /// The first minute; a multiple of [`HOUR`].
    pub hour: Minute,
    /// The last trade of each minute that had one: minute, time of the trade, price. Oldest first.
    pub closes: Vec<(Minute, Timestamp, Price)>,
    /// Bit `n` is set if minute `n` is covered: its close is known, or that it had no trade.
    pub covered: u64,
    /// Bit `n` is set if a candle answer has spoken for minute `n`.
    pub settled: u64,
    /// The close that stood when the hour began, with its minute, if that is known: no trade lies between.
    pub before: Option<(Minute, Price)>,
}

impl HourRecord {
    /// Returns the first minute of the hour that holds `minute`.
    pub fn of(minute: Minute) -> Minute {
        Minute(minute.0.div_euclid(HOUR) * HOUR)
    }

    /// Returns everything that this record or an older one of the same hour knows.
    ///
    /// Where both speak for a minute, the exchange's own candle stands against what was seen live, and this record
    /// against the older one.
    #[must_use]
    pub fn merged(self, older: &Self) -> Self {
        debug_assert_eq!(self.hour, older.hour);
        let live = self.covered & !self.settled;
        let from_older = older.covered & (!self.covered | (live & older.settled));
        let mut closes: Vec<_> = older.closes.iter().filter(|close| older.has(from_older, close.0)).copied().collect();
        closes.extend(self.closes.iter().filter(|close| !self.has(from_older, close.0)));
        closes.sort_by_key(|close| close.0);
        Self {
            hour: self.hour,
            closes,
            covered: self.covered | older.covered,
            settled: self.settled | (older.settled & from_older),
            before: self.before.or(older.before),
        }
    }

    /// Returns whether bit `n` of `bits` is set, for the `n`th minute of the hour.
    pub fn has(&self, bits: u64, minute: Minute) -> bool {
        (0..HOUR).contains(&(minute.0 - self.hour.0)) && bits >> (minute.0 - self.hour.0) & 1 == 1
    }
}

/// The newest figures of one market at one venue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRecord {
    /// Price of the last trade.
    pub last: Price,
    /// The venue's time of it.
    pub venue_time: Option<Timestamp>,
    /// The venue's number of it.
    pub trade_id: Option<u64>,
    /// When we received it.
    pub received_at: Timestamp,
    /// When it was last confirmed, by our wall clock.
    pub confirmed_at: Timestamp,
    /// The same by the venue's clock, which its change is measured by; absent in old records.
    pub confirmed_there: Option<Timestamp>,
    /// Largest number of decimal places that the venue has sent.
    pub sent_places: u32,
    /// Highest price of 24 hours, as the venue said.
    pub high_24h: Option<Price>,
    /// Lowest price of 24 hours, as the venue said.
    pub low_24h: Option<Price>,
    /// Volume of 24 hours in the base asset.
    pub base_volume_24h: Option<Decimal>,
    /// Volume of 24 hours in the quote asset.
    pub quote_volume_24h: Option<Decimal>,
}

/// What the venue's lists have said of one market over time, by the venue's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListingRecord {
    /// When the present listing was first seen, if one before it is known to have ended.
    pub since: Option<Timestamp>,
    /// Since when the market is not in the list.
    pub gone_since: Option<Timestamp>,
    /// Since when it is listed and does not trade.
    pub halted_since: Option<Timestamp>,
}

impl ListingRecord {
    /// Returns this record with the beginning of the listing, if only an older record knew it.
    #[must_use]
    pub fn merged(self, older: Option<Self>) -> Self {
        Self { since: self.since.max(older.and_then(|older| older.since)), ..self }
    }
}

/// Records of one feed that are new or have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedRecords {
    /// The venue.
    pub venue: VenueId,
    /// The market.
    pub market: Market,
    /// Its newest figures, if they changed.
    pub last: Option<LastRecord>,
    /// What is known of its listing, if that changed.
    pub listing: Option<ListingRecord>,
    /// The hours of its window that changed.
    pub hours: Vec<HourRecord>,
    /// Whether all that was recorded of it before is to be forgotten: the name now stands for another listing.
    pub anew: bool,
}

/// Where the hours of the past are read from.
pub trait HourSource: Send + Sync + std::fmt::Debug {
    /// Returns the records of the hours that overlap `span`, oldest first; hours of which nothing is known are left out.
    ///
    /// May block on a disk: call it off the async threads.
    ///
    /// # Errors
    /// A sentence that says what could not be read.
    fn hours(&self, venue: VenueId, market: &Market, span: Range<Minute>) -> Result<Vec<HourRecord>, String>;
}

/// Whether what is learned outlives the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreHealth {
    /// Whether it is being written to disk.
    pub persisting: bool,
    /// Since when that is so.
    pub since: Timestamp,
    /// Why it is not.
    pub reason: Option<String>,
    /// When it was last written.
    pub saved_at: Option<Timestamp>,
}

/// Who keeps what is to outlive the process.
pub trait Keeper: Send + Sync + std::fmt::Debug {
    /// Returns how that is going, without waiting for a disk.
    fn health(&self) -> StoreHealth;
}
