//! Reads the records of earlier runs from the file.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::feed::{FeedRecords, Transport};
use crate::market::window::KEPT_MINUTES;
use crate::market::{HourRecord, MINUTES_PER_HOUR, Market, Minute, SECONDS_PER_MINUTE, VenueId};

use super::row::{self, DecodeResult};

/// Records restored from the file.
#[derive(Debug, Default)]
pub struct Restored {
    /// Last rows, listings, and the hours within the window's span, by feed.
    pub feeds: Vec<FeedRecords>,
    /// Bans that are still in force, with their end.
    pub bans: BTreeMap<(VenueId, Transport), Timestamp>,
    /// Number of damaged rows, which were skipped.
    pub damaged: usize,
}

/// Collects records from one or more reads of the file.
pub struct Reader<'a> {
    venues: &'a [VenueId],
    feeds: BTreeMap<(VenueId, Market), FeedRecords>,
    bans: BTreeMap<(VenueId, Transport), Timestamp>,
    damaged: usize,
}

impl<'a> Reader<'a> {
    /// Creates a reader that skips the rows of venues other than these.
    pub fn new(venues: &'a [VenueId]) -> Self {
        Self { venues, feeds: BTreeMap::new(), bans: BTreeMap::new(), damaged: 0 }
    }

    /// Reads all records that are relevant at `now`, table by table and hour by hour, so that a damaged page
    /// affects only its own part.
    ///
    /// # Errors
    /// The first error, after all parts have been tried.
    pub fn read(&mut self, from: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        let bans =
            self.each(from, row::BAN_COLUMNS, "bans", row::decode_ban, |reader, (venue, transport, not_before)| {
                if let Some(venue) = reader.venue(&venue).filter(|_| not_before > now) {
                    reader.bans.insert((venue, transport), not_before);
                }
            });
        let last =
            self.each(from, row::LAST_COLUMNS, "last_rows", row::decode_last, |reader, (venue, market, last)| {
                if let Some(feed) = reader.feed(&venue, market) {
                    feed.last = Some(last);
                }
            });
        let listings = self.each(
            from,
            row::LISTING_COLUMNS,
            "listings",
            row::decode_listing,
            |reader, (venue, market, listing)| {
                if let Some(feed) = reader.feed(&venue, market) {
                    feed.listing = Some(listing);
                }
            },
        );
        // Skip hours in the future: they were written while the clock was ahead, and are fetched again in time.
        let newest = Minute::of(now);
        // If the clock is ahead, or the process was down for long, still read the day before the newest stored
        // hour.
        let known = from.query_row("SELECT max(hour) FROM hours", [], |row| row.get::<_, Option<i64>>(0));
        let (known, unknown) = known.map_or_else(|error| (None, Err(error)), |known| (known, Ok(())));
        let end =
            known.map_or(newest, |hour| newest.min(Minute(hour.div_euclid(SECONDS_PER_MINUTE)).plus(MINUTES_PER_HOUR)));
        let mut hour = HourRecord::hour_of(end.plus(-KEPT_MINUTES));
        let mut result = bans.and(last).and(listings).and(unknown);
        while hour <= end {
            let span = format!("hours WHERE hour = {}", hour.0 * SECONDS_PER_MINUTE);
            let read =
                self.each(from, row::HOUR_COLUMNS, &span, row::decode_hour, |reader, (venue, market, record)| {
                    if let Some(feed) = reader.feed(&venue, market) {
                        feed.hours.push(record);
                    }
                });
            result = result.and(read);
            hour = hour.plus(MINUTES_PER_HOUR);
        }
        result
    }

    fn each<T>(
        &mut self,
        from: &Connection,
        columns: &str,
        table: &str,
        read: fn(&Row<'_>) -> DecodeResult<T>,
        mut apply: impl FnMut(&mut Self, T),
    ) -> rusqlite::Result<()> {
        let mut statement = from.prepare(&format!("SELECT {columns} FROM {table}"))?;
        let mut rows = statement.query(params![])?;
        while let Some(row) = rows.next()? {
            match read(row) {
                Ok(record) => apply(self, record),
                Err(row::DamagedRow) => self.damaged += 1,
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
        let empty = || FeedRecords { venue, market: market.clone(), last, listing, hours, reset: false };
        Some(self.feeds.entry((venue, market.clone())).or_insert_with(empty))
    }

    pub fn finish(self) -> Restored {
        let mut feeds: Vec<FeedRecords> = self.feeds.into_values().collect();
        for feed in &mut feeds {
            feed.hours.sort_by_key(|record| record.hour);
        }
        Restored { feeds, bans: self.bans, damaged: self.damaged }
    }
}
