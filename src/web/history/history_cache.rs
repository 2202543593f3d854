//! Cache of history responses, and the reading behind it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

use super::super::AppState;
use super::super::error::Error;
use super::{HistoryQuery, Span};
use crate::api::{HistoryHead, history_csv, history_json};
use crate::market::history::{Bar, MinuteClose, Segment, bars, minute_closes, segments};
use crate::market::{HourSource, Minute};

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

/// Time after the start in which any hole may still be filled.
const GROWING_FOR: Duration = Duration::from_secs(2 * 60);

/// Time after the start in which the candles of a market may still be fetched for the first time: markets are
/// fetched one after the other.
const READING_FOR: Duration = Duration::from_secs(15 * 60);

/// A series with more than one hole per this many bars counts as not fetched yet.
const BARS_PER_HOLE: usize = 20;

/// Maximum number of concurrent reads; each may block a thread on a slow disk.
const READS_MAX: usize = 4;

/// Up to this many missing minutes at the end are omitted instead of reported as holes: minute closes arrive late.
const PENDING_MAX: usize = 3;

/// Timeout of a read, including the wait for a permit.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// `Retry-After` of a failed read, in seconds.
const RETRY_AFTER_SECS: u64 = 10;

/// History of one market in equal steps.
#[derive(Debug)]
pub struct Series {
    /// The query.
    pub query: HistoryQuery,
    /// Start of the first bar.
    pub start: Timestamp,
    /// End of the last bar, which may cover fewer minutes.
    pub end: Timestamp,
    /// One bar per step; `None` for a hole.
    pub bars: Vec<Option<Bar>>,
    /// Runs of known minutes, to draw a line of; empty unless the step is that of a plot or a sparkline.
    pub segments: Vec<Segment>,
    /// The last day of the same read; only for a plotted week.
    pub day: Option<Arc<Series>>,
    /// Whether holes may still be filled soon.
    pub is_growing: bool,
    demo: bool,
    json: OnceLock<Bytes>,
    csv: OnceLock<Bytes>,
}

impl Series {
    /// Returns the JSON, encoded once.
    pub fn json(&self) -> Bytes {
        self.json.get_or_init(|| history_json(self.head(), &self.bars).into()).clone()
    }

    /// Returns the CSV, encoded once.
    pub fn csv(&self) -> Bytes {
        self.csv.get_or_init(|| history_csv(self.head(), &self.bars).into()).clone()
    }

    fn head(&self) -> HistoryHead<'_> {
        let HistoryQuery { market, venue, venues, span, step } = &self.query;
        HistoryHead {
            market,
            venue: *venue,
            venues,
            span: span.as_str(),
            step: step.name,
            step_seconds: step.minutes * 60,
            start: self.start,
            end: self.end,
            demo: self.demo,
        }
    }
}

/// Cache of history series.
#[derive(Debug)]
pub struct HistoryCache {
    /// The series, each with the time of its read in Unix seconds.
    entries: Mutex<HashMap<HistoryQuery, (i64, Arc<Series>)>>,
    cached_max: usize,
    cached_secs: i64,
    reads: Arc<Semaphore>,
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

    /// Returns the series for a query, from the cache if possible.
    ///
    /// # Errors
    /// Returns an error if the server stores no history, or if reading it fails or times out.
    pub async fn read(&self, app: &AppState, query: HistoryQuery) -> Result<Arc<Series>, Error> {
        let source = app.history.clone().ok_or_else(|| {
            let detail = "this server stores no history";
            Error::new(StatusCode::SERVICE_UNAVAILABLE, "no-history", "No history", detail)
        })?;
        let now = venue_now(app, &query);
        if let Some(series) = self.cached(&query, now) {
            return Ok(series);
        }
        let answer = tokio::time::timeout(READ_TIMEOUT, self.read_uncached(source, query, now, app)).await;
        answer.unwrap_or_else(|_| Err(retry_later("history-busy", "reading the history timed out")))
    }

    async fn read_uncached(
        &self,
        source: Arc<dyn HourSource>,
        query: HistoryQuery,
        now: Timestamp,
        app: &AppState,
    ) -> Result<Arc<Series>, Error> {
        let closed = |_| retry_later("history-failed", "the server is shutting down");
        let permit = self.reads.clone().acquire_owned().await.map_err(closed)?;
        // Another request for the same series may have read it meanwhile.
        if let Some(series) = self.cached(&query, now) {
            return Ok(series);
        }
        let (uptime, demo) = (app.uptime(), app.demo);
        let reading = tokio::task::spawn_blocking(move || {
            let series = read(source.as_ref(), query, now, uptime, demo);
            drop(permit);
            series
        });
        let series = reading.await.unwrap_or_else(|error| Err(error.to_string()));
        let series = series.map(Arc::new).map_err(|error| {
            tracing::warn!(%error, "reading the history failed; request answered with status 503");
            retry_later("history-failed", "reading the history failed")
        })?;
        self.insert(now.as_second(), &series);
        Ok(series)
    }

    fn cached(&self, query: &HistoryQuery, now: Timestamp) -> Option<Arc<Series>> {
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

    fn insert(&self, at: i64, series: &Arc<Series>) {
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

/// Returns the venue time, since minutes are those of the venue's clock.
fn venue_now(app: &AppState, query: &HistoryQuery) -> Timestamp {
    let health = app.hub.venues().into_iter().find(|health| health.venue == query.venue);
    let ahead = SignedDuration::from_millis(health.and_then(|health| health.clock_skew_ms).unwrap_or(0));
    let now = app.clock.now();
    now.checked_add(ahead).unwrap_or(now)
}

fn read(
    source: &dyn HourSource,
    query: HistoryQuery,
    now: Timestamp,
    uptime: Duration,
    demo: bool,
) -> Result<Series, String> {
    let mut span = query.minute_range(now);
    // The minute before the first one supplies the open of the first bar.
    let range = span.start.plus(-1)..span.end;
    let hours = source.hours(query.venue, &query.market, range.clone())?;
    let mut closes = minute_closes(&hours, range);
    let pending = closes.iter().rev().take_while(|close| **close == MinuteClose::Gap).count();
    if pending <= PENDING_MAX && pending + 1 < closes.len() {
        closes.truncate(closes.len() - pending);
        span.end = span.end.plus(-i64::try_from(pending).unwrap_or(0));
    }
    let is_plotted_week = query.span == Span::Week && query.step == Span::Week.plot_step();
    let day = is_plotted_week.then(|| {
        let query = HistoryQuery { span: Span::Day, step: Span::Day.plot_step(), ..query.clone() };
        let start = query.minute_range(Minute::start(span.end)).start.max(span.start);
        let skipped = usize::try_from(start.0 - span.start.0).unwrap_or(0).min(closes.len());
        Arc::new(series(query, start..span.end, &closes[skipped..], uptime, demo))
    });
    Ok(Series { day, ..series(query, span, &closes, uptime, demo) })
}

/// Builds the series of the minutes in `span`; `closes` starts with the minute before.
fn series(
    query: HistoryQuery,
    span: std::ops::Range<Minute>,
    closes: &[MinuteClose],
    uptime: Duration,
    demo: bool,
) -> Series {
    let step = usize::try_from(query.step.minutes).unwrap_or(1);
    let (before, closes) =
        closes.split_first().map_or((MinuteClose::Gap, closes), |(before, closes)| (*before, closes));
    let is_drawn = [query.span.plot_step(), query.span.spark_step()].contains(&query.step);
    let bars = bars(before, closes, step);
    let holes = bars.iter().filter(|bar| bar.is_none()).count();
    let is_growing = holes > 0 && uptime < if holes * BARS_PER_HOLE > bars.len() { READING_FOR } else { GROWING_FOR };
    Series {
        start: Minute::start(span.start),
        end: Minute::start(span.end),
        bars,
        segments: if is_drawn { segments(before, closes, step) } else { Vec::new() },
        day: None,
        is_growing,
        query,
        demo,
        json: OnceLock::new(),
        csv: OnceLock::new(),
    }
}

/// Returns an error that asks the client to retry later.
fn retry_later(code: &str, detail: &str) -> Error {
    Error::retryable(StatusCode::SERVICE_UNAVAILABLE, code, "History not available", detail, RETRY_AFTER_SECS)
}
