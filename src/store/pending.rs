//! Records waiting to be written: only the newest of each key, so that a slow
//! disk makes batches larger and memory stays bounded.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::feed::{FeedRecords, LastRecord, ListingRecord, Transport};
use crate::market::{HourRecord, Market, Minute, VenueId};

/// Maximum number of pending hours of one feed: those that a whole window touches.
const HOURS_MAX: usize = 27;

/// Pending records of one feed.
#[derive(Debug, Clone, Default)]
pub struct PendingFeed {
    /// Delete all stored records of the feed first: the market name now stands for another listing.
    pub reset: bool,
    pub last: Option<LastRecord>,
    pub listing: Option<ListingRecord>,
    pub hours: BTreeMap<Minute, HourRecord>,
}

/// All pending records.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    pub feeds: BTreeMap<(VenueId, Market), PendingFeed>,
    pub bans: BTreeMap<(VenueId, Transport), Option<Timestamp>>,
}

impl Pending {
    pub fn is_empty(&self) -> bool {
        self.feeds.is_empty() && self.bans.is_empty()
    }

    /// Adds records; they replace or are merged into the pending ones of the same feed.
    pub fn add(&mut self, records: FeedRecords) {
        let feed = self.feeds.entry((records.venue, records.market)).or_default();
        if records.reset {
            *feed = PendingFeed { reset: true, listing: feed.listing.take(), ..PendingFeed::default() };
        }
        feed.last = records.last.or(feed.last.take());
        feed.listing = records.listing.map(|new| new.merged(feed.listing)).or(feed.listing);
        records.hours.into_iter().for_each(|record| feed.put_hour(record, |pending, new| new.merged(&pending)));
        feed.drop_oldest();
    }

    /// Puts records back that could not be written; records added since take precedence.
    pub fn put_back(&mut self, older: Pending) {
        for (key, older) in older.feeds {
            let newer = self.feeds.entry(key).or_default();
            newer.listing = newer.listing.map(|new| new.merged(older.listing)).or(older.listing);
            if newer.reset {
                continue;
            }
            newer.reset = older.reset;
            newer.last = newer.last.take().or(older.last);
            older
                .hours
                .into_values()
                .for_each(|record| newer.put_hour(record, |pending, older| pending.merged(&older)));
            newer.drop_oldest();
        }
        for (key, not_before) in older.bans {
            self.bans.entry(key).or_insert(not_before);
        }
    }
}

impl PendingFeed {
    /// Adds the record of an hour, merged by `merge` with a pending record of the same hour.
    fn put_hour(&mut self, record: HourRecord, merge: impl FnOnce(HourRecord, HourRecord) -> HourRecord) {
        let record = match self.hours.remove(&record.hour) {
            Some(pending) => merge(pending, record),
            None => record,
        };
        self.hours.insert(record.hour, record);
    }

    fn drop_oldest(&mut self) {
        while self.hours.len() > HOURS_MAX {
            self.hours.pop_first();
        }
    }
}
