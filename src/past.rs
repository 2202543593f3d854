//! The past of every feed in memory, for a process that keeps none on a disk; and a past in one unit.
//!
//! The former serves the demo and runs without a data directory. It ends with the
//! process; it never reads from the window, which forgets after a day.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{FeedRecords, HOUR, HourRecord, HourSource, Market, Minute, Redenomination, Units, VenueId};

/// Hours kept of each feed: eight days.
pub const KEPT_HOURS: usize = 8 * 24;

/// Most feeds whose past is kept; records of any more are dropped.
pub const FEEDS_MAX: usize = 8192;

/// The hours of one feed, by their first minute.
type Hours = BTreeMap<Minute, HourRecord>;

/// The newest eight days of every feed.
#[derive(Debug, Default)]
pub struct MemoryHistory {
    feeds: Mutex<HashMap<(VenueId, Market), Hours>>,
}

impl MemoryHistory {
    /// Takes in what [`Quotes::take_unrecorded`](crate::board::Quotes::take_unrecorded) gave.
    pub fn take(&self, records: &[FeedRecords]) {
        let mut feeds = self.feeds();
        for record in records {
            let key = (record.venue, record.market.clone());
            if feeds.len() >= FEEDS_MAX && !feeds.contains_key(&key) {
                continue;
            }
            let hours = feeds.entry(key).or_default();
            if record.anew {
                hours.clear();
            }
            for hour in &record.hours {
                let known = hours.remove(&hour.hour);
                // The window may have forgotten the first minutes of the hour since.
                hours.insert(hour.hour, known.map_or_else(|| hour.clone(), |known| hour.clone().merged(&known)));
            }
            while hours.len() > KEPT_HOURS {
                hours.pop_first();
            }
        }
    }

    // Held for the copying of a few records and never across an await.
    fn feeds(&self) -> MutexGuard<'_, HashMap<(VenueId, Market), Hours>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HourSource for MemoryHistory {
    fn hours(&self, venue: VenueId, market: &Market, span: Range<Minute>) -> Result<Vec<HourRecord>, String> {
        let first = HourRecord::of(span.start);
        let feeds = self.feeds();
        let Some(hours) = feeds.get(&(venue, market.clone())).filter(|_| span.start < span.end) else {
            return Ok(Vec::new());
        };
        let overlapping = hours.range(first..span.end).map(|(_, record)| record);
        Ok(overlapping.filter(|record| record.hour.plus(HOUR) > span.start).cloned().collect())
    }
}

/// A past with every price in the unit of the newest minute that is asked for.
///
/// Closes that can't be written exactly in it are holes.
#[derive(Debug)]
pub struct OneUnit {
    /// The past as it was said.
    pub said: Arc<dyn HourSource>,
    /// Where the unit of a price has changed.
    pub redenominations: Vec<Redenomination>,
}

impl HourSource for OneUnit {
    fn hours(&self, venue: VenueId, market: &Market, span: Range<Minute>) -> Result<Vec<HourRecord>, String> {
        let (unit, units) = (span.end, Units::of(&self.redenominations, venue, market));
        let mut hours = self.said.hours(venue, market, span)?;
        hours.iter_mut().for_each(|hour| bring(hour, &units, unit));
        Ok(hours)
    }
}

fn bring(hour: &mut HourRecord, units: &Units, unit: Minute) {
    hour.before = hour.before.and_then(|(minute, price)| Some((minute, units.bring(price, minute, unit)?)));
    for (minute, at, price) in std::mem::take(&mut hour.closes) {
        match units.bring(price, minute, unit) {
            Some(price) => hour.closes.push((minute, at, price)),
            None => hour.covered &= !(1 << (minute.0 - hour.hour.0)),
        }
    }
}
