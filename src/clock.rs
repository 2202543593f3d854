//! The only reader of time.
//!
//! Two times exist: the *wall clock* dates things and may jump; the
//! *monotonic clock* measures how long something took and never does. It goes
//! on while the process is stopped and while the machine sleeps: what is an
//! hour old is an hour old, whoever slept. Both
//! come from a [`Clock`] that is handed in, so that a test can hold them still.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::domain::Now;

/// A source of wall and monotonic time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System {
        start: Duration,
    },
    /// Follows tokio's clock, which tests pause and advance.
    Tokio {
        epoch: Timestamp,
        start: Instant,
    },
    Manual(Arc<Mutex<Hands>>),
}

#[derive(Debug)]
struct Hands {
    wall: Timestamp,
    monotonic: Duration,
}

impl Clock {
    /// The machine's clocks.
    pub fn system() -> Self {
        Self(Kind::System { start: since_boot() })
    }

    /// A wall clock that reads `epoch` now and moves with tokio's, paused or not.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads them")]
    pub fn tokio(epoch: Timestamp) -> Self {
        Self(Kind::Tokio { epoch, start: Instant::now() })
    }

    /// Clocks that only move when told to.
    pub fn manual(epoch: Timestamp) -> Self {
        Self(Kind::Manual(Arc::new(Mutex::new(Hands { wall: epoch, monotonic: Duration::ZERO }))))
    }

    /// Returns both times at once.
    pub fn read(&self) -> Now {
        Now { wall: self.now(), monotonic: self.monotonic() }
    }

    /// Returns the date and time.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Kind::System { .. } => Timestamp::now(),
            Kind::Tokio { epoch, start } => later(*epoch, start.elapsed()),
            Kind::Manual(hands) => hands.lock().unwrap_or_else(PoisonError::into_inner).wall,
        }
    }

    /// Returns the time since the clock was made; it never goes back.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Kind::System { start } => since_boot().saturating_sub(*start),
            Kind::Tokio { start, .. } => start.elapsed(),
            Kind::Manual(hands) => hands.lock().unwrap_or_else(PoisonError::into_inner).monotonic,
        }
    }

    /// Moves both clocks of [`Clock::manual`] on; does nothing to the others.
    pub fn advance(&self, by: Duration) {
        if let Kind::Manual(hands) = &self.0 {
            let mut hands = hands.lock().unwrap_or_else(PoisonError::into_inner);
            hands.wall = later(hands.wall, by);
            hands.monotonic += by;
        }
    }

    /// Sets the wall clock of [`Clock::manual`], as an operator or a time server would.
    pub fn set_wall(&self, to: Timestamp) {
        if let Kind::Manual(hands) = &self.0 {
            hands.lock().unwrap_or_else(PoisonError::into_inner).wall = to;
        }
    }
}

/// Returns the time since some moment before the program began, the time asleep included.
#[cfg(unix)]
fn since_boot() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    // Linux calls that clock boottime; elsewhere the monotonic clock is the one that counts sleep.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const UNINTERRUPTED: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const UNINTERRUPTED: ClockId = ClockId::Monotonic;
    let time = clock_gettime(UNINTERRUPTED);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Returns the time since the first call; the system's counter goes on while the machine sleeps.
#[cfg(not(unix))]
#[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
fn since_boot() -> Duration {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(std::time::Instant::now).elapsed()
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}
