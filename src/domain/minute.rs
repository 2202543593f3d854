//! Whole minutes of UTC, the grain of the window.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

const SECONDS: i64 = 60;

/// The present, on both clocks: the wall clock dates things, the monotonic one measures ages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The date and time; may jump.
    pub wall: Timestamp,
    /// Time since the program began; never jumps.
    pub monotonic: Duration,
}

/// The minute [start, start + 60 s), counted from the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute(pub i64);

impl Minute {
    /// Returns the minute that holds `at`.
    pub fn of(at: Timestamp) -> Self {
        // Rounded towards the past also before 1970 and within a second.
        let second = at.as_second() - i64::from(at.subsec_nanosecond() < 0);
        Self(second.div_euclid(SECONDS))
    }

    /// Returns the instant the minute begins.
    pub fn start(self) -> Timestamp {
        Timestamp::from_second(self.0.saturating_mul(SECONDS)).unwrap_or(Timestamp::MAX)
    }

    /// Returns the instant the minute ends, which is the start of the next.
    pub fn end(self) -> Timestamp {
        self.plus(1).start()
    }

    /// Returns the minute that many minutes later (earlier, if negative).
    pub fn plus(self, minutes: i64) -> Self {
        Self(self.0.saturating_add(minutes))
    }
}

impl fmt::Debug for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.start().fmt(f)
    }
}
