//! The clock of the fake exchanges: the system's, or one that a test moves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// Source of wall-clock and monotonic time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System {
        start: Instant,
    },
    /// The start, and the time since.
    Manual(Timestamp, Arc<Mutex<Duration>>),
}

#[expect(clippy::disallowed_methods, reason = "the only place that reads the system's clocks")]
impl Clock {
    /// Returns a clock that reads the system's clocks.
    pub fn system() -> Self {
        Self(Kind::System { start: Instant::now() })
    }

    /// Returns a clock that starts at `start` and moves only by [`Self::advance`].
    pub fn manual(start: Timestamp) -> Self {
        Self(Kind::Manual(start, Arc::default()))
    }

    /// Returns the wall-clock time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Kind::System { .. } => Timestamp::now(),
            Kind::Manual(start, _) => SignedDuration::try_from(self.monotonic())
                .ok()
                .and_then(|since| start.checked_add(since).ok())
                .unwrap_or(Timestamp::MAX),
        }
    }

    /// Returns the time since the clock was created. The system's does not include the time that the machine sleeps.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Kind::System { start } => start.elapsed(),
            Kind::Manual(_, since) => *since.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Advances a clock of [`Clock::manual`]; does nothing for the system's.
    pub fn advance(&self, by: Duration) {
        if let Kind::Manual(_, since) = &self.0 {
            *since.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }
}
