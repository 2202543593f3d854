//! Records that outlive the process: the last figures, the listing and the hours of a feed.
//!
//! Each record is self-contained: if one is lost or damaged, only its own contents become unknown, and no
//! other record becomes wrong.

use jiff::Timestamp;
use rust_decimal::Decimal;

use crate::market::{HourRecord, Market, Price, VenueId};

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
