//! Reads of what was written, on a connection of their own beside the writer's.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use crate::domain::{HOUR, HourRecord, HourSource, Market, Minute, VenueId};

use super::open::{self, ForReading, Trouble};
use super::row;
use super::writer::Desk;

const SECONDS: i64 = 60;

/// The connection of all reads: locked while one market is read, and while the writer opens the file.
///
/// SQLite shares the index of the log among the connections of a process. One that reads a read-only disk maps it
/// read-only, and as long as it is open none can write, though the disk is writable again.
#[derive(Debug, Default)]
pub struct Reading(Mutex<Option<ForReading>>);

impl Reading {
    /// Closes the connection unless it reads a copy; none is opened while the result is held.
    pub fn stop(&self) -> MutexGuard<'_, Option<ForReading>> {
        let mut held = self.lock();
        held.take_if(|reads| !reads.is_copy());
        held
    }

    fn lock(&self) -> MutexGuard<'_, Option<ForReading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hours of the past, as far as they were written.
#[derive(Debug)]
pub struct Past(Arc<Desk>);

impl Past {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        Self(desk)
    }

    fn read(&self, venue: VenueId, market: &Market, span: &Range<Minute>) -> Result<Vec<HourRecord>, Trouble> {
        let Desk { file, reading, .. } = &*self.0;
        let mut held = reading.lock();
        let written = self.0.health().persisting;
        // Once the file is written again, a copy of it is out of date.
        let kept = held.take().filter(|reads| !(written && reads.is_copy()));
        let reads = held.insert(match kept {
            Some(reads) => reads,
            None if written => open::open_to_read(file)?.into(),
            None => open::open_unwritable(file)?,
        });
        if !reads.whole {
            return Err(Trouble::Disk("its log can't be read".to_owned()));
        }
        let hours = read(&reads.connection, venue, market, span);
        if hours.is_err() {
            *held = None;
        }
        Ok(hours?)
    }
}

impl HourSource for Past {
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
    let minute = |seconds: i64| HourRecord::of(Minute(seconds.div_euclid(SECONDS)));
    let mut hour = HourRecord::of(span.start).max(minute(oldest));
    let end = span.end.min(minute(newest).plus(HOUR));
    // Hours come first in the key, so that the present is written in one place; a market's are found one by one.
    while hour < end {
        hours.extend(row::get_hour(from, venue.as_str(), market.as_str(), hour)?);
        hour = hour.plus(HOUR);
    }
    Ok(hours)
}
