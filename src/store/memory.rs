//! History of every feed in memory, for processes without a store; and a history rescaled to one price unit.
//!
//! The history in memory serves the demo and processes without a data directory. It is lost when the process ends.
//! It is separate from the window, which holds only about a day.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::feed::FeedRecords;
use crate::market::{HourRecord, HourSource, MINUTES_PER_HOUR, Market, Minute, Redenomination, UnitChanges, VenueId};

/// Most hours kept per feed: eight days.
pub const HOURS_MAX: usize = 8 * 24;

/// Most feeds with history; records of further feeds are dropped.
pub const FEEDS_MAX: usize = 8192;

/// Hours of one feed, by their first minute.
type Hours = BTreeMap<Minute, HourRecord>;

/// The newest eight days of every feed, in memory.
#[derive(Debug, Default)]
pub struct MemoryHistory {
    feeds: Mutex<HashMap<(VenueId, Market), Hours>>,
}

impl MemoryHistory {
    /// Records what [`Quotes::take_unrecorded`](crate::board::Quotes::take_unrecorded) returned.
    pub fn record(&self, records: &[FeedRecords]) {
        let mut feeds = self.feeds();
        for record in records {
            let key = (record.venue, record.market.clone());
            if feeds.len() >= FEEDS_MAX && !feeds.contains_key(&key) {
                continue;
            }
            let hours = feeds.entry(key).or_default();
            if record.reset {
                hours.clear();
            }
            for hour in &record.hours {
                let known = hours.remove(&hour.hour);
                // The window may have dropped the first minutes of the hour meanwhile.
                hours.insert(hour.hour, known.map_or_else(|| hour.clone(), |known| hour.clone().merged(&known)));
            }
            while hours.len() > HOURS_MAX {
                hours.pop_first();
            }
        }
    }

    // Locked only to copy a few records, never across an await.
    fn feeds(&self) -> MutexGuard<'_, HashMap<(VenueId, Market), Hours>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HourSource for MemoryHistory {
    fn hours(&self, venue: VenueId, market: &Market, span: Range<Minute>) -> Result<Vec<HourRecord>, String> {
        let first = HourRecord::hour_of(span.start);
        let feeds = self.feeds();
        let Some(hours) = feeds.get(&(venue, market.clone())).filter(|_| span.start < span.end) else {
            return Ok(Vec::new());
        };
        let overlapping = hours.range(first..span.end).map(|(_, record)| record);
        Ok(overlapping.filter(|record| record.hour.plus(MINUTES_PER_HOUR) > span.start).cloned().collect())
    }
}

/// A history with every price rescaled to the unit that applies at the end of the requested span.
///
/// Closes that can't be represented exactly in that unit become gaps.
#[derive(Debug)]
pub struct RescaledHistory {
    /// The history with prices as the exchanges sent them.
    pub raw: Arc<dyn HourSource>,
    /// Changes of a price's unit.
    pub redenominations: Vec<Redenomination>,
}

impl HourSource for RescaledHistory {
    fn hours(&self, venue: VenueId, market: &Market, span: Range<Minute>) -> Result<Vec<HourRecord>, String> {
        let (unit, units) = (span.end, UnitChanges::of(&self.redenominations, venue, market));
        let mut hours = self.raw.hours(venue, market, span)?;
        hours.iter_mut().for_each(|hour| rescale(hour, &units, unit));
        Ok(hours)
    }
}

fn rescale(hour: &mut HourRecord, units: &UnitChanges, unit: Minute) {
    hour.close_before =
        hour.close_before.and_then(|(minute, price)| Some((minute, units.convert(price, minute, unit)?)));
    for (minute, at, price) in std::mem::take(&mut hour.closes) {
        match units.convert(price, minute, unit) {
            Some(price) => hour.closes.push((minute, at, price)),
            None => hour.covered &= !(1 << (minute.0 - hour.hour.0)),
        }
    }
}
