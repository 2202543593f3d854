//! The price history of a market in equal steps, and what a page shows of it.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::api::{HistoryHead, history_csv, history_json};
use crate::market::history::{Bar, MinuteClose, Segment, bars, minute_closes, segments};
use crate::market::{HourSource, Market, Minute, VenueId};
use crate::options::Span;

/// Time between two entries of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step {
    /// Value in URLs.
    pub name: &'static str,
    /// The same in minutes.
    pub minutes: u32,
}

const M1: Step = Step { name: "1m", minutes: 1 };
const M5: Step = Step { name: "5m", minutes: 5 };
const M15: Step = Step { name: "15m", minutes: 15 };
const H1: Step = Step { name: "1h", minutes: 60 };
const H4: Step = Step { name: "4h", minutes: 240 };

impl Span {
    fn minutes(self) -> i64 {
        match self {
            Self::Day => 24 * 60,
            Self::Week => 7 * 24 * 60,
        }
    }

    /// Returns the allowed steps, the default first; none gives more than 10,080 entries.
    pub fn steps(self) -> &'static [Step] {
        match self {
            Self::Day => &[M1, M5, M15, H1, H4],
            Self::Week => &[M15, M1, M5, H1, H4],
        }
    }

    /// Returns the step of a page's plot, which has some hundred points.
    pub fn plot_step(self) -> Step {
        match self {
            Self::Day => M5,
            Self::Week => H1,
        }
    }

    /// Returns the step of a sparkline.
    pub fn spark_step(self) -> Step {
        match self {
            Self::Day => M15,
            Self::Week => H4,
        }
    }
}

/// Query for the history of one market.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HistoryQuery {
    /// The market.
    pub market: Market,
    /// The venue of the closes.
    pub venue: VenueId,
    /// All venues that may supply the market's row.
    pub venues: Vec<VenueId>,
    /// The span.
    pub span: Span,
    /// The step.
    pub step: Step,
}

impl HistoryQuery {
    /// Returns the range of minutes at `now`: starts at a whole step in UTC, ends with the last complete minute.
    pub fn minute_range(&self, now: Timestamp) -> std::ops::Range<Minute> {
        let (end, step) = (Minute::of(now), i64::from(self.step.minutes));
        let start = (end.0 - self.span.minutes()).div_euclid(step) * step;
        Minute(start)..end
    }
}

/// Time after the start in which any hole may still be filled.
const GROWING_FOR: Duration = Duration::from_secs(2 * 60);

/// Time after the start in which the candles of a market may still be fetched for the first time: markets are
/// fetched one after the other.
const READING_FOR: Duration = Duration::from_secs(15 * 60);

/// A series with more than one hole per this many bars counts as not fetched yet.
const BARS_PER_HOLE: usize = 20;

/// Up to this many missing minutes at the end are omitted instead of reported as holes: minute closes arrive late.
const PENDING_MAX: usize = 3;

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
    /// Reads the series of a query at the venue time `now`.
    ///
    /// # Errors
    /// The error of the source.
    pub fn read(
        source: &dyn HourSource,
        query: HistoryQuery,
        now: Timestamp,
        uptime: Duration,
        demo: bool,
    ) -> Result<Self, String> {
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
        Ok(Self { day, ..series(query, span, &closes, uptime, demo) })
    }

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
            span: span.keyword(),
            step: step.name,
            step_seconds: step.minutes * 60,
            start: self.start,
            end: self.end,
            demo: self.demo,
        }
    }
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

/// The price history of the markets of a page; series that can't be read are missing.
#[derive(Debug, Default)]
pub struct PageHistory {
    /// The last 24 hours of each market at the resolution of a sparkline.
    pub days: Vec<Option<Arc<Series>>>,
    /// The first market at the resolution of a plot.
    pub plot: Option<Arc<Series>>,
    /// The movers that have been traded for the required time; `None` if the movers rule requires no such check.
    pub established: Option<HashSet<Market>>,
}

/// Seconds after which the script reloads a page while gaps in its history are being filled.
pub const INCOMPLETE_REFRESH_SECS: u32 = 2;

impl PageHistory {
    /// Returns whether gaps in a series are still being filled.
    pub fn is_growing(&self) -> bool {
        self.days.iter().flatten().chain(&self.plot).any(|series| series.is_growing)
    }

    /// Returns the seconds after which a widget is reloaded; `default` applies once its history is complete.
    pub fn refresh(&self, default: u32) -> u32 {
        if self.is_growing() { INCOMPLETE_REFRESH_SECS } else { default }
    }
}
