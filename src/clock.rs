//! The only module that reads the system's clocks.
//!
//! The *wall clock* gives dates and may jump. The *monotonic clock* measures
//! durations and never jumps; it also advances while the process is stopped
//! and while the machine sleeps, so that ages are right afterwards. Both are
//! read through a [`Clock`] that is passed as an argument, so that tests can
//! control them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::market::Now;

/// Source of wall-clock and monotonic time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System {
        start: Duration,
    },
    /// Follows tokio's clock, which tests can pause and advance.
    Tokio {
        epoch: Timestamp,
        start: Instant,
    },
    Manual(Arc<Mutex<ManualTime>>),
}

#[derive(Debug)]
struct ManualTime {
    wall: Timestamp,
    monotonic: Duration,
}

impl Clock {
    /// Returns a clock that reads the system's clocks.
    pub fn system() -> Self {
        Self(Kind::System { start: since_boot() })
    }

    /// Returns a clock that shows `epoch` now and advances with tokio's clock, which may be paused.
    #[expect(clippy::disallowed_methods, reason = "the only place that reads them")]
    pub fn tokio(epoch: Timestamp) -> Self {
        Self(Kind::Tokio { epoch, start: Instant::now() })
    }

    /// Returns a clock that starts at `epoch` and moves only by [`Self::advance`] and [`Self::set_wall`].
    pub fn manual(epoch: Timestamp) -> Self {
        Self(Kind::Manual(Arc::new(Mutex::new(ManualTime { wall: epoch, monotonic: Duration::ZERO }))))
    }

    /// Returns both times.
    pub fn read(&self) -> Now {
        Now { wall: self.now(), monotonic: self.monotonic() }
    }

    /// Returns the wall-clock time.
    #[expect(clippy::disallowed_methods, reason = "the only place that reads it")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Kind::System { .. } => Timestamp::now(),
            Kind::Tokio { epoch, start } => add(*epoch, start.elapsed()),
            Kind::Manual(state) => state.lock().unwrap_or_else(PoisonError::into_inner).wall,
        }
    }

    /// Returns the monotonic time since the clock was created; never decreases.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Kind::System { start } => since_boot().saturating_sub(*start),
            Kind::Tokio { start, .. } => start.elapsed(),
            Kind::Manual(state) => state.lock().unwrap_or_else(PoisonError::into_inner).monotonic,
        }
    }

    /// Advances both times of [`Clock::manual`]; does nothing for other clocks.
    pub fn advance(&self, by: Duration) {
        if let Kind::Manual(state) = &self.0 {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.wall = add(state.wall, by);
            state.monotonic += by;
        }
    }

    /// Sets the wall clock of [`Clock::manual`], as an operator or NTP would; does nothing for other clocks.
    pub fn set_wall(&self, to: Timestamp) {
        if let Kind::Manual(state) = &self.0 {
            state.lock().unwrap_or_else(PoisonError::into_inner).wall = to;
        }
    }
}

/// Returns the time since some moment before the program started, including time asleep.
#[cfg(unix)]
fn since_boot() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    // On Linux this clock is CLOCK_BOOTTIME; elsewhere CLOCK_MONOTONIC includes sleep.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK_WITH_SLEEP: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK_WITH_SLEEP: ClockId = ClockId::Monotonic;
    let time = clock_gettime(CLOCK_WITH_SLEEP);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Returns the time since the first call. The system's counter advances while the machine sleeps.
#[cfg(not(unix))]
#[expect(clippy::disallowed_methods, reason = "the only place that reads it")]
fn since_boot() -> Duration {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(std::time::Instant::now).elapsed()
}

fn add(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}
