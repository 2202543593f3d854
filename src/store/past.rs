//! Reads of what was written, on a connection of their own beside the writer's.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use crate::domain::{HOUR, HourRecord, HourSource, Market, Minute, VenueId};

use super::{open, row};

const SECONDS: i64 = 60;

/// The hours of the past, as far as they were written.
#[derive(Debug)]
pub struct Past {
    file: PathBuf,
    /// Counts the files that had this name in this life of the process.
    generation: Arc<AtomicU64>,
    /// Held while one market is read.
    connection: Mutex<Option<(u64, Connection)>>,
}

impl Past {
    pub(super) fn new(file: PathBuf, generation: Arc<AtomicU64>) -> Self {
        Self { file, generation, connection: Mutex::new(None) }
    }

    fn read(&self, venue: VenueId, market: &Market, span: &Range<Minute>) -> rusqlite::Result<Vec<HourRecord>> {
        let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = self.generation.load(Ordering::Acquire);
        let connection = match held.take() {
            Some((of, connection)) if of == generation => connection,
            _ => open::open_to_read(&self.file)?,
        };
        let read = read(&connection, venue, market, span)?;
        *held = Some((generation, connection));
        Ok(read)
    }
}

impl HourSource for Past {
    fn hours(&self, venue: VenueId, market: &Market, span: Range<Minute>) -> Result<Vec<HourRecord>, String> {
        self.read(venue, market, &span).map_err(|error| format!("reading {}: {error}", self.file.display()))
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
