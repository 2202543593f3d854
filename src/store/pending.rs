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
        waiting.listing = records.listing.or(waiting.listing.take());
        waiting.hours.extend(records.hours.into_iter().map(|record| (record.hour, record)));
        waiting.bound();
    }

    /// Adds what could not be written, under what has come since.
    pub fn put_back(&mut self, older: Pending) {
        for (key, older) in older.feeds {
            let newer = self.feeds.entry(key).or_default();
            newer.listing = newer.listing.take().or(older.listing);
            if newer.anew {
                continue;
            }
            newer.anew = older.anew;
            newer.last = newer.last.take().or(older.last);
            for (hour, record) in older.hours {
                newer.hours.entry(hour).or_insert(record);
            }
            newer.bound();
        }
        for (whose, not_before) in older.bans {
            self.bans.entry(whose).or_insert(not_before);
        }
    }
}

impl Waiting {
    fn bound(&mut self) {
        while self.hours.len() > HOURS_MAX {
            self.hours.pop_first();
        }
    }
}
