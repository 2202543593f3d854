//! What another life of the process left: read once, at the start.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::domain::window::KEPT_MINUTES;
use crate::domain::{FeedRecords, HOUR, HourRecord, Market, Minute, VenueId};

use super::row::{self, Read};

const SECONDS: i64 = 60;

/// What was found.
#[derive(Debug, Default)]
pub struct Restored {
    /// The last rows, and the hours that a window holds.
    pub feeds: Vec<FeedRecords>,
    /// The venues that are not to be asked yet, and until when.
    pub bans: BTreeMap<VenueId, Timestamp>,
    /// Rows that were damaged and are left aside.
    pub damaged: usize,
}

/// Collects rows until one can't be read at all.
pub struct Reader<'a> {
    venues: &'a [VenueId],
    feeds: BTreeMap<(VenueId, Market), FeedRecords>,
    bans: BTreeMap<VenueId, Timestamp>,
    damaged: usize,
}

impl<'a> Reader<'a> {
    /// Rows of other venues than these are left aside.
    pub fn new(venues: &'a [VenueId]) -> Self {
        Self { venues, feeds: BTreeMap::new(), bans: BTreeMap::new(), damaged: 0 }
    }

    /// Reads everything that matters at `now`; what was read before an error is kept.
    pub fn read(&mut self, from: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        self.each(from, row::BAN_COLUMNS, "bans", row::ban, |reader, (venue, not_before)| {
            if let Some(venue) = reader.venue(&venue).filter(|_| not_before > now) {
                reader.bans.insert(venue, not_before);
            }
        })?;
        self.each(from, row::LAST_COLUMNS, "last_rows", row::last, |reader, (venue, market, last)| {
            if let Some(feed) = reader.feed(&venue, market) {
                feed.last = Some(last);
            }
        })?;
        self.each(from, row::LISTING_COLUMNS, "listings", row::listing, |reader, (venue, market, listing)| {
            if let Some(feed) = reader.feed(&venue, market) {
                feed.listing = Some(listing);
            }
        })?;
        // An hour that has not begun was written by a clock that ran ahead; it is asked for again when it comes.
        let newest = Minute::of(now);
        // A clock that runs ahead, or a long sleep, must not hide the day before the newest hour.
        let last: Option<i64> = from.query_row("SELECT max(hour) FROM hours", [], |row| row.get(0))?;
        let present = last.map_or(newest, |hour| newest.min(Minute(hour.div_euclid(SECONDS)).plus(HOUR)));
        let oldest = HourRecord::of(present.plus(-KEPT_MINUTES));
        let span = format!("hours WHERE hour BETWEEN {} AND {}", oldest.0 * SECONDS, newest.0 * SECONDS);
        self.each(from, row::HOUR_COLUMNS, &span, row::hour, |reader, (venue, market, record)| {
            if let Some(feed) = reader.feed(&venue, market) {
                feed.hours.push(record);
            }
        })
    }

    fn each<T>(
        &mut self,
        from: &Connection,
        columns: &str,
        table: &str,
        read: fn(&Row<'_>) -> Read<T>,
        mut take: impl FnMut(&mut Self, T),
    ) -> rusqlite::Result<()> {
        let mut statement = from.prepare(&format!("SELECT {columns} FROM {table}"))?;
        let mut rows = statement.query(params![])?;
        while let Some(row) = rows.next()? {
            match read(row) {
                Ok(record) => take(self, record),
                Err(row::Damaged) => self.damaged += 1,
            }
        }
        Ok(())
    }

    fn venue(&self, id: &str) -> Option<VenueId> {
        self.venues.iter().copied().find(|venue| venue.as_str() == id)
    }

    fn feed(&mut self, venue: &str, market: Market) -> Option<&mut FeedRecords> {
        let venue = self.venue(venue)?;
        let (last, listing, hours) = (None, None, Vec::new());
        let empty = || FeedRecords { venue, market: market.clone(), last, listing, hours, anew: false };
        Some(self.feeds.entry((venue, market.clone())).or_insert_with(empty))
    }

    pub fn end(self) -> Restored {
        let mut feeds: Vec<FeedRecords> = self.feeds.into_values().collect();
        for feed in &mut feeds {
            feed.hours.sort_by_key(|record| record.hour);
        }
        Restored { feeds, bans: self.bans, damaged: self.damaged }
    }
}
