//! Reads the past for whoever asks, and keeps the answers for a moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

use super::super::AppState;
use super::super::error::Error;
use super::{Question, Span};
use crate::domain::history::{Bar, MinuteClose, Piece, bars, minute_closes, pieces};
use crate::domain::{HourSource, Minute};
use crate::wire::{HistoryHead, history_csv, history_json};

/// Most answers kept, of at most about 1 MB each: a week of minutes.
const KEPT_MAX: usize = 32;

/// How long an answer is given out again. Shorter than the minute: the close of one that has just ended comes late.
const KEPT_SECS: i64 = 10;

/// Most small lines kept, of about 8 kB each.
const SPARKS_MAX: usize = 512;

/// How long a small line is given out again: it has a point each quarter of an hour.
const SPARKS_SECS: i64 = 60;

/// How long one with holes is given out again in the first minutes, while candles are still being read.
const GROWING_SECS: i64 = 1;

/// How long after the start any hole may still be filled soon.
const GROWING_FOR: Duration = Duration::from_secs(2 * 60);

/// How long after the start a series may still be read for the first time: many markets take their turns.
const READING_FOR: Duration = Duration::from_secs(15 * 60);

/// One hole in so many bars is no sign that the series is still to be read.
const HOLE_IN: usize = 20;

/// Most reads at once; each may hold a thread on a slow disk.
const READS_MAX: usize = 4;

/// The newest minutes are told a little after they end: so many of them are left out rather than called holes.
const UNTOLD_MAX: usize = 3;

/// How long a question waits for its turn and its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// When to ask again, in seconds.
const RETRY_AFTER_SECS: u64 = 10;

/// The past of one market, in equal steps.
#[derive(Debug)]
pub struct Series {
    /// What was asked.
    pub question: Question,
    /// When the first bar begins.
    pub start: Timestamp,
    /// How far the last one reaches: it may be of fewer minutes.
    pub end: Timestamp,
    /// A bar a step; holes are holes.
    pub bars: Vec<Option<Bar>>,
    /// Every minute that is known, for a line; empty where the step is not one that is drawn.
    pub pieces: Vec<Piece>,
    /// Its last day, of the same moment; only of a week that is drawn.
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
        let Question { market, venue, venues, span, step } = &self.question;
        HistoryHead {
            market,
            venue: *venue,
            venues,
            span: span.word(),
            step: step.word,
            step_seconds: step.minutes * 60,
            start: self.start,
            end: self.end,
            demo: self.demo,
        }
    }
}

/// Where questions of the past are answered.
#[derive(Debug)]
pub struct Desk {
    /// Each with the second that it was read in.
    kept: Mutex<HashMap<Question, (i64, Arc<Series>)>>,
    kept_max: usize,
    kept_secs: i64,
    reads: Arc<Semaphore>,
}

impl Default for Desk {
    fn default() -> Self {
        Self::with_room(KEPT_MAX, KEPT_SECS)
    }
}

impl Desk {
    /// A desk for the small lines of many markets.
    pub fn of_sparks() -> Self {
        Self::with_room(SPARKS_MAX, SPARKS_SECS)
    }

    fn with_room(kept_max: usize, kept_secs: i64) -> Self {
        Self { kept: Mutex::default(), kept_max, kept_secs, reads: Arc::new(Semaphore::new(READS_MAX)) }
    }

    /// Answers a question.
    ///
    /// # Errors
    /// Where no past is kept here, where it can't be read, or not in time.
    pub async fn read(&self, app: &AppState, question: Question) -> Result<Arc<Series>, Error> {
        let source = app.history.clone().ok_or_else(|| {
            let detail = "this server keeps no history";
            Error::new(StatusCode::SERVICE_UNAVAILABLE, "no-history", "No history", detail)
        })?;
        let now = there(app, &question);
        if let Some(series) = self.kept(&question, now) {
            return Ok(series);
        }
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.read_anew(source, question, now, app)).await;
        answer.unwrap_or_else(|_| Err(later("history-busy", "history can't be read fast enough")))
    }

    async fn read_anew(
        &self,
        source: Arc<dyn HourSource>,
        question: Question,
        now: Timestamp,
        app: &AppState,
    ) -> Result<Arc<Series>, Error> {
        let closed = |_| later("history-failed", "the server is stopping");
        let turn = self.reads.clone().acquire_owned().await.map_err(closed)?;
        // Those who waited for the same answer find it now.
        if let Some(series) = self.kept(&question, now) {
            return Ok(series);
        }
        let (uptime, demo) = (app.uptime(), app.demo);
        let reading = tokio::task::spawn_blocking(move || {
            let series = read(source.as_ref(), question, now, uptime, demo);
            drop(turn);
            series
        });
        let series = reading.await.unwrap_or_else(|error| Err(error.to_string()));
        let series = series.map(Arc::new).map_err(|error| {
            tracing::warn!(%error, "reading history failed");
            later("history-failed", "history can't be read now")
        })?;
        self.keep(now.as_second(), &series);
        Ok(series)
    }

    fn kept(&self, question: &Question, now: Timestamp) -> Option<Arc<Series>> {
        let answers = self.answers();
        answers.get(question).filter(|(at, series)| self.is_new(*at, series, now.as_second())).map(|(_, it)| it.clone())
    }

    /// Whether an answer may be given out again: all that are read in one slot of time end together.
    fn is_new(&self, at: i64, series: &Series, now: i64) -> bool {
        let slot_secs = if series.is_growing { GROWING_SECS } else { self.kept_secs };
        at.div_euclid(slot_secs) == now.div_euclid(slot_secs)
    }

    fn keep(&self, at: i64, series: &Arc<Series>) {
        let mut kept = self.answers();
        if kept.len() >= self.kept_max && !kept.contains_key(&series.question) {
            kept.retain(|_, (of, series)| self.is_new(*of, series, at));
        }
        if kept.len() < self.kept_max || kept.contains_key(&series.question) {
            kept.insert(series.question.clone(), (at, series.clone()));
        }
    }

    // Held for a few lines and never across an await.
    fn answers(&self) -> MutexGuard<'_, HashMap<Question, (i64, Arc<Series>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the venue's clock shows: its minutes are meant, whatever ours shows.
fn there(app: &AppState, question: &Question) -> Timestamp {
    let health = app.hub.venues().into_iter().find(|health| health.venue == question.venue);
    let ahead = SignedDuration::from_millis(health.and_then(|health| health.clock_skew_ms).unwrap_or(0));
    let now = app.clock.now();
    now.checked_add(ahead).unwrap_or(now)
}

fn read(
    source: &dyn HourSource,
    question: Question,
    now: Timestamp,
    uptime: Duration,
    demo: bool,
) -> Result<Series, String> {
    let mut span = question.minutes(now);
    // The minute before the first tells the price that the first bar opens with.
    let told = span.start.plus(-1)..span.end;
    let hours = source.hours(question.venue, &question.market, told.clone())?;
    let mut closes = minute_closes(&hours, told);
    let untold = closes.iter().rev().take_while(|close| **close == MinuteClose::Hole).count();
    if untold <= UNTOLD_MAX && untold + 1 < closes.len() {
        closes.truncate(closes.len() - untold);
        span.end = span.end.plus(-i64::try_from(untold).unwrap_or(0));
    }
    let is_plotted_week = question.span == Span::Week && question.step == Span::Week.plot_step();
    let day = is_plotted_week.then(|| {
        let question = Question { span: Span::Day, step: Span::Day.plot_step(), ..question.clone() };
        let start = question.minutes(Minute::start(span.end)).start.max(span.start);
        let skipped = usize::try_from(start.0 - span.start.0).unwrap_or(0).min(closes.len());
        Arc::new(series(question, start..span.end, &closes[skipped..], uptime, demo))
    });
    Ok(Series { day, ..series(question, span, &closes, uptime, demo) })
}

/// Makes the series of the minutes of `span`, with the one before them.
fn series(
    question: Question,
    span: std::ops::Range<Minute>,
    closes: &[MinuteClose],
    uptime: Duration,
    demo: bool,
) -> Series {
    let step = usize::try_from(question.step.minutes).unwrap_or(1);
    let (before, closes) =
        closes.split_first().map_or((MinuteClose::Hole, closes), |(before, closes)| (*before, closes));
    let is_drawn = [question.span.plot_step(), question.span.spark_step()].contains(&question.step);
    let bars = bars(before, closes, step);
    let holes = bars.iter().filter(|bar| bar.is_none()).count();
    let is_growing = holes > 0 && uptime < if holes * HOLE_IN > bars.len() { READING_FOR } else { GROWING_FOR };
    Series {
        start: Minute::start(span.start),
        end: Minute::start(span.end),
        bars,
        pieces: if is_drawn { pieces(before, closes, step) } else { Vec::new() },
        day: None,
        is_growing,
        question,
        demo,
        json: OnceLock::new(),
        csv: OnceLock::new(),
    }
}

fn later(code: &str, detail: &str) -> Error {
    Error::passing(StatusCode::SERVICE_UNAVAILABLE, code, "History not available", detail, RETRY_AFTER_SECS)
}
