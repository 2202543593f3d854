//! What another life of the process left: read once, at the start.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::domain::window::KEPT_MINUTES;
use crate::domain::{FeedRecords, HOUR, HourRecord, Link, Market, Minute, VenueId};

use super::row::{self, Read};

const SECONDS: i64 = 60;

/// What was found.
#[derive(Debug, Default)]
pub struct Restored {
    /// The last rows, and the hours that a window holds.
    pub feeds: Vec<FeedRecords>,
    /// The venues that are not to be asked yet, and until when.
    pub bans: BTreeMap<(VenueId, Link), Timestamp>,
    /// Rows that were damaged and are left aside.
    pub damaged: usize,
}

/// Collects rows until one can't be read at all.
pub struct Reader<'a> {
    venues: &'a [VenueId],
    feeds: BTreeMap<(VenueId, Market), FeedRecords>,
    bans: BTreeMap<(VenueId, Link), Timestamp>,
    damaged: usize,
}

impl<'a> Reader<'a> {
    /// Rows of other venues than these are left aside.
    pub fn new(venues: &'a [VenueId]) -> Self {
        Self { venues, feeds: BTreeMap::new(), bans: BTreeMap::new(), damaged: 0 }
    }

    /// Reads everything that matters at `now`, part by part: what a damaged page hides costs its own part alone.
    ///
    /// # Errors
    /// The first, after everything was tried.
    pub fn read(&mut self, from: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        let bans = self.each(from, row::BAN_COLUMNS, "bans", row::ban, |reader, (venue, link, not_before)| {
            if let Some(venue) = reader.venue(&venue).filter(|_| not_before > now) {
                reader.bans.insert((venue, link), not_before);
            }
        });
        let last = self.each(from, row::LAST_COLUMNS, "last_rows", row::last, |reader, (venue, market, last)| {
            if let Some(feed) = reader.feed(&venue, market) {
                feed.last = Some(last);
            }
        });
        let listings =
            self.each(from, row::LISTING_COLUMNS, "listings", row::listing, |reader, (venue, market, listing)| {
                if let Some(feed) = reader.feed(&venue, market) {
                    feed.listing = Some(listing);
                }
            });
        // An hour that has not begun was written by a clock that ran ahead; it is asked for again when it comes.
        let newest = Minute::of(now);
        // A clock that runs ahead, or a long sleep, must not hide the day before the newest hour.
        let known = from.query_row("SELECT max(hour) FROM hours", [], |row| row.get::<_, Option<i64>>(0));
        let (known, unknown) = known.map_or_else(|error| (None, Err(error)), |known| (known, Ok(())));
        let present = known.map_or(newest, |hour| newest.min(Minute(hour.div_euclid(SECONDS)).plus(HOUR)));
        let mut hour = HourRecord::of(present.plus(-KEPT_MINUTES));
        let mut outcome = bans.and(last).and(listings).and(unknown);
        while hour <= present {
            let span = format!("hours WHERE hour = {}", hour.0 * SECONDS);
            let read = self.each(from, row::HOUR_COLUMNS, &span, row::hour, |reader, (venue, market, record)| {
                if let Some(feed) = reader.feed(&venue, market) {
                    feed.hours.push(record);
                }
            });
            outcome = outcome.and(read);
            hour = hour.plus(HOUR);
        }
        outcome
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
