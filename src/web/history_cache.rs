//! Cache of history series.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::widgets::series::{HistoryQuery, Series};

/// Maximum number of cached series, of at most about 1 MB each: a week of minutes.
const CACHED_MAX: usize = 32;

/// How long a series is cached, in seconds. Shorter than a minute, since the newest minute close arrives late.
const CACHED_SECS: i64 = 10;

/// Maximum number of cached sparkline series, of about 8 kB each.
const SPARKS_MAX: usize = 512;

/// How long a sparkline series is cached, in seconds; it has one point per quarter of an hour.
const SPARKS_SECS: i64 = 60;

/// How long a series with holes is cached after the start, in seconds, while candles are still being fetched.
const GROWING_SECS: i64 = 1;

/// Maximum number of concurrent reads; each may block a thread on a slow disk.
const READS_MAX: usize = 4;

/// Cache of history series.
#[derive(Debug)]
pub struct HistoryCache {
    /// The series, each with the time of its read in Unix seconds.
    entries: Mutex<HashMap<HistoryQuery, (i64, Arc<Series>)>>,
    cached_max: usize,
    cached_secs: i64,
    /// Permits of reads.
    pub reads: Arc<Semaphore>,
}

impl Default for HistoryCache {
    fn default() -> Self {
        Self::with_size(CACHED_MAX, CACHED_SECS)
    }
}

impl HistoryCache {
    /// Creates a cache for the sparklines of many markets.
    pub fn for_sparks() -> Self {
        Self::with_size(SPARKS_MAX, SPARKS_SECS)
    }

    fn with_size(cached_max: usize, cached_secs: i64) -> Self {
        Self { entries: Mutex::default(), cached_max, cached_secs, reads: Arc::new(Semaphore::new(READS_MAX)) }
    }

    /// Returns a series that is still valid.
    pub fn cached(&self, query: &HistoryQuery, now: Timestamp) -> Option<Arc<Series>> {
        let entries = self.entries();
        entries
            .get(query)
            .filter(|(at, series)| self.is_fresh(*at, series, now.as_second()))
            .map(|(_, series)| series.clone())
    }

    /// Returns whether a cached series is still valid: all series read in one time slot expire together.
    fn is_fresh(&self, at: i64, series: &Series, now: i64) -> bool {
        let slot_secs = if series.is_growing { GROWING_SECS } else { self.cached_secs };
        at.div_euclid(slot_secs) == now.div_euclid(slot_secs)
    }

    /// Caches a series that was read at a time in Unix seconds.
    pub fn insert(&self, at: i64, series: &Arc<Series>) {
        let mut entries = self.entries();
        if entries.len() >= self.cached_max && !entries.contains_key(&series.query) {
            entries.retain(|_, (read_at, series)| self.is_fresh(*read_at, series, at));
        }
        if entries.len() < self.cached_max || entries.contains_key(&series.query) {
            entries.insert(series.query.clone(), (at, series.clone()));
        }
    }

    // The lock is held briefly and never across an await.
    fn entries(&self) -> MutexGuard<'_, HashMap<HistoryQuery, (i64, Arc<Series>)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
