//! What waits to be written: the newest word of each key, so that a slow disk
//! makes batches larger and never queues longer.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::{FeedRecords, HourRecord, LastRecord, Link, ListingRecord, Market, Minute, VenueId};

/// Hours of one feed that may wait: those of a whole window.
const HOURS_MAX: usize = 27;

/// The records of one feed that wait.
#[derive(Debug, Clone, Default)]
pub struct Waiting {
    /// What was written before is to be deleted first.
    pub anew: bool,
    pub last: Option<LastRecord>,
    pub listing: Option<ListingRecord>,
    pub hours: BTreeMap<Minute, HourRecord>,
}

/// Everything that waits.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    pub feeds: BTreeMap<(VenueId, Market), Waiting>,
    pub bans: BTreeMap<(VenueId, Link), Option<Timestamp>>,
}

impl Pending {
    pub fn is_empty(&self) -> bool {
        self.feeds.is_empty() && self.bans.is_empty()
    }

    /// Adds news, which replace what waits under the same key.
    pub fn add(&mut self, records: FeedRecords) {
        let waiting = self.feeds.entry((records.venue, records.market)).or_default();
        if records.anew {
            *waiting = Waiting { anew: true, listing: waiting.listing.take(), ..Waiting::default() };
        }
        waiting.last = records.last.or(waiting.last.take());
        waiting.listing = records.listing.map(|new| new.merged(waiting.listing)).or(waiting.listing);
        records.hours.into_iter().for_each(|record| waiting.put(record, |waits, new| new.merged(&waits)));
        waiting.bound();
    }

    /// Adds what could not be written, under what has come since.
    pub fn put_back(&mut self, older: Pending) {
        for (key, older) in older.feeds {
            let newer = self.feeds.entry(key).or_default();
            newer.listing = newer.listing.map(|new| new.merged(older.listing)).or(older.listing);
            if newer.anew {
                continue;
            }
            newer.anew = older.anew;
            newer.last = newer.last.take().or(older.last);
            older.hours.into_values().for_each(|record| newer.put(record, |waits, older| waits.merged(&older)));
            newer.bound();
        }
        for (whose, not_before) in older.bans {
            self.bans.entry(whose).or_insert(not_before);
        }
    }
}

impl Waiting {
    /// Adds the record of an hour, joined with the one that waits already.
    fn put(&mut self, record: HourRecord, join: impl FnOnce(HourRecord, HourRecord) -> HourRecord) {
        let record = match self.hours.remove(&record.hour) {
            Some(waits) => join(waits, record),
            None => record,
        };
        self.hours.insert(record.hour, record);
    }

    fn bound(&mut self) {
        while self.hours.len() > HOURS_MAX {
            self.hours.pop_first();
        }
    }
}
