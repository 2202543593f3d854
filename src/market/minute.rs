//! Whole minutes of UTC (the resolution of the window), the current time, and the clocks of venues.
//!
//! [`HourRecord`] is what is kept of an hour of a window after the process has ended. Each record is self-contained: if
//! one is lost or damaged, only its own contents become unknown, and no other record becomes wrong.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Market, Price, VenueId};

/// Seconds in a minute.
pub const SECONDS_PER_MINUTE: i64 = 60;

/// The current time on both clocks: the wall clock gives dates, the monotonic clock measures durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Date and time; may jump.
    pub wall: Timestamp,
    /// Time since the program started, including sleep and pauses; never goes back.
    pub monotonic: Duration,
}

impl Now {
    /// Returns the moment that is earlier by `by`.
    #[must_use]
    pub fn earlier_by(self, by: Duration) -> Self {
        let wall = SignedDuration::try_from(by).ok().and_then(|by| self.wall.checked_sub(by).ok());
        Self { wall: wall.unwrap_or(self.wall), monotonic: self.monotonic.saturating_sub(by) }
    }
}

/// The minute [start, start + 60 s), counted from the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute(pub i64);

impl Minute {
    /// Returns the minute that contains `at`.
    pub fn of(at: Timestamp) -> Self {
        // Round towards the past, also before 1970 and within a second.
        let second = at.as_second() - i64::from(at.subsec_nanosecond() < 0);
        Self(second.div_euclid(SECONDS_PER_MINUTE))
    }

    /// Returns the instant at which the minute begins.
    pub fn start(self) -> Timestamp {
        Timestamp::from_second(self.0.saturating_mul(SECONDS_PER_MINUTE)).unwrap_or(Timestamp::MAX)
    }

    /// Returns the instant at which the minute ends, which is the start of the next.
    pub fn end(self) -> Timestamp {
        self.plus(1).start()
    }

    /// Returns the minute that is `minutes` later (earlier, if negative).
    pub fn plus(self, minutes: i64) -> Self {
        Self(self.0.saturating_add(minutes))
    }
}

/// A venue's clock relative to our monotonic clock, so that a step of our wall clock does not affect it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VenueClock {
    /// What it showed when our monotonic clock was at zero.
    pub at_zero: Timestamp,
}

impl VenueClock {
    /// Returns the clock that shows `venue_time` when our monotonic clock shows `monotonic`.
    pub fn showing(venue_time: Timestamp, monotonic: Duration) -> Option<Self> {
        let passed = SignedDuration::try_from(monotonic).ok()?;
        venue_time.checked_sub(passed).ok().map(|at_zero| Self { at_zero })
    }

    /// Returns what it shows when our monotonic clock shows `monotonic`.
    pub fn at(self, monotonic: Duration) -> Timestamp {
        let passed = SignedDuration::try_from(monotonic).unwrap_or(SignedDuration::MAX);
        self.at_zero.checked_add(passed).unwrap_or(Timestamp::MAX)
    }
}

/// Returns `at` moved by `by`, or `at` itself if the result is out of range.
pub fn shifted(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}

impl fmt::Debug for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.start().fmt(f)
    }
}

/// A set of minutes as sorted, disjoint, half-open ranges that do not touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MinuteSet {
    ranges: Vec<Range<Minute>>,
}

impl MinuteSet {
    /// Adds every minute of `range`; an empty range adds nothing.
    pub fn insert(&mut self, range: Range<Minute>) {
        if range.is_empty() {
            return;
        }
        // Merge all ranges that overlap or touch the new one.
        let from = self.ranges.partition_point(|r| r.end < range.start);
        let to = self.ranges.partition_point(|r| r.start <= range.end);
        let merged = match self.ranges.get(from..to) {
            Some([first, .., last]) => first.start.min(range.start)..last.end.max(range.end),
            Some([only]) => only.start.min(range.start)..only.end.max(range.end),
            _ => range,
        };
        self.ranges.splice(from..to, [merged]);
    }

    /// Removes every minute before `minute`.
    pub fn remove_before(&mut self, minute: Minute) {
        self.ranges.retain(|r| r.end > minute);
        if let Some(first) = self.ranges.first_mut() {
            first.start = first.start.max(minute);
        }
    }

    /// Returns the range that contains `minute`.
    pub fn containing(&self, minute: Minute) -> Option<Range<Minute>> {
        let at = self.ranges.partition_point(|r| r.end <= minute);
        self.ranges.get(at).filter(|r| r.contains(&minute)).cloned()
    }

    /// Returns the parts of `span` that are not in the set, oldest first.
    pub fn missing(&self, span: Range<Minute>) -> Vec<Range<Minute>> {
        let mut missing = Vec::new();
        let mut from = span.start;
        for range in &self.ranges {
            if range.end <= from {
                continue;
            }
            if range.start >= span.end {
                break;
            }
            if range.start > from {
                missing.push(from..range.start);
            }
            from = range.end;
        }
        if from < span.end {
            missing.push(from..span.end);
        }
        missing
    }

    /// Returns the ranges, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Range<Minute>> {
        self.ranges.iter()
    }
}

/// Minutes in the record of an hour.
pub const MINUTES_PER_HOUR: i64 = 60;

/// What a window knows about one hour of UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourRecord {
    /// The first minute; a multiple of [`MINUTES_PER_HOUR`].
    pub hour: Minute,
    /// The last trade of each minute that had one: minute, trade time, price. Oldest first.
    pub closes: Vec<(Minute, Timestamp, Price)>,
    /// Bit `n` is set if minute `n` is covered: its close is known, or it is known to have had no trade.
    pub covered: u64,
    /// Bit `n` is set if a candle response covered minute `n`.
    pub settled: u64,
    /// The close in effect at the start of the hour, with its minute, if known: no trade lies in between.
    pub close_before: Option<(Minute, Price)>,
}

impl HourRecord {
    /// Returns the first minute of the hour that contains `minute`.
    pub fn hour_of(minute: Minute) -> Minute {
        Minute(minute.0.div_euclid(MINUTES_PER_HOUR) * MINUTES_PER_HOUR)
    }

    /// Combines this record with an older one of the same hour.
    ///
    /// Where both know a minute, the exchange's candle takes precedence over live data, and then this record
    /// over the older one.
    #[must_use]
    pub fn merged(self, older: &Self) -> Self {
        debug_assert_eq!(self.hour, older.hour);
        let live = self.covered & !self.settled;
        let from_older = older.covered & (!self.covered | (live & older.settled));
        let mut closes: Vec<_> =
            older.closes.iter().filter(|close| older.is_set(from_older, close.0)).copied().collect();
        closes.extend(self.closes.iter().filter(|close| !self.is_set(from_older, close.0)));
        closes.sort_by_key(|close| close.0);
        Self {
            hour: self.hour,
            closes,
            covered: self.covered | older.covered,
            settled: self.settled | (older.settled & from_older),
            close_before: self.close_before.or(older.close_before),
        }
    }

    /// Returns whether the bit of `minute` is set in `bits`; `false` outside this hour.
    pub fn is_set(&self, bits: u64, minute: Minute) -> bool {
        (0..MINUTES_PER_HOUR).contains(&(minute.0 - self.hour.0)) && bits >> (minute.0 - self.hour.0) & 1 == 1
    }
}

/// Source of the hour records of the past.
pub trait HourSource: Send + Sync + std::fmt::Debug {
    /// Returns the records of the hours that overlap `span`, oldest first; hours without data are omitted.
    ///
    /// May block on a disk: do not call it on an async thread.
    ///
    /// # Errors
    /// A message that says what could not be read.
    fn hours(&self, venue: VenueId, market: &Market, span: Range<Minute>) -> Result<Vec<HourRecord>, String>;
}
