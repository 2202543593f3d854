//! Whole minutes of UTC (the resolution of the window), the current time, and the clocks of venues.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

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
