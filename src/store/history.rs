//! Reads stored hours, on a connection separate from the writer's.

use std::ops::Range;
use std::sync::Arc;

use rusqlite::Connection;

use crate::market::{HourRecord, HourSource, MINUTES_PER_HOUR, Market, Minute, SECONDS_PER_MINUTE, VenueId};

use super::open::{self, OpenError};
use super::row;
use super::writer::WriterHandle;

/// Reader of the stored hours.
#[derive(Debug)]
pub struct HistoryReader(Arc<WriterHandle>);

impl HistoryReader {
    pub(super) fn new(handle: Arc<WriterHandle>) -> Self {
        Self(handle)
    }

    fn read(&self, venue: VenueId, market: &Market, span: &Range<Minute>) -> Result<Vec<HourRecord>, OpenError> {
        let WriterHandle { file, read_connection, .. } = &*self.0;
        let mut guard = read_connection.lock();
        let persisting = self.0.health().persisting;
        // Once the file is being written again, a copy is out of date.
        let reusable = guard.take().filter(|database| !(persisting && database.is_copy()));
        let database = guard.insert(match reusable {
            Some(database) => database,
            None if persisting => open::open_read_only(file)?.into(),
            None => open::open_unwritable(file)?,
        });
        if !database.is_complete {
            return Err(OpenError::Disk("its write-ahead log can't be read".to_owned()));
        }
        let hours = read(&database.connection, venue, market, span);
        if hours.is_err() {
            *guard = None;
        }
        Ok(hours?)
    }
}

impl HourSource for HistoryReader {
    fn hours(&self, venue: VenueId, market: &Market, span: Range<Minute>) -> Result<Vec<HourRecord>, String> {
        self.read(venue, market, &span).map_err(|error| format!("reading {}: {error}", self.0.file.display()))
    }
}

fn read(from: &Connection, venue: VenueId, market: &Market, span: &Range<Minute>) -> rusqlite::Result<Vec<HourRecord>> {
    let mut hours = Vec::new();
    let ends = from.query_row("SELECT min(hour), max(hour) FROM hours", [], |row| {
        Ok(row.get::<_, Option<i64>>(0)?.zip(row.get::<_, Option<i64>>(1)?))
    })?;
    let Some((oldest, newest)) = ends else { return Ok(hours) };
    let minute = |seconds: i64| HourRecord::hour_of(Minute(seconds.div_euclid(SECONDS_PER_MINUTE)));
    let mut hour = HourRecord::hour_of(span.start).max(minute(oldest));
    let end = span.end.min(minute(newest).plus(MINUTES_PER_HOUR));
    // The hour comes first in the primary key, so that current writes go to neighbouring pages. The hours of one
    // market are therefore looked up one by one.
    while hour < end {
        hours.extend(row::get_hour(from, venue.as_str(), market.as_str(), hour)?);
        hour = hour.plus(MINUTES_PER_HOUR);
    }
    Ok(hours)
}
