//! Back-off after failures: capped, jittered, without end.

use std::time::Duration;

use rand::RngExt;

/// Doublings after which the cap is reached with any settings.
const DOUBLINGS_MAX: u32 = 20;

/// Exponential back-off: computes the wait before the next attempt, and never gives up.
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Returns a back-off with waits of up to `min` at first, growing up to `max`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min: min.min(max), max, failures: 0 }
    }

    /// Counts a failure and returns how long to wait: at random between a tenth
    /// of `min` and an upper bound, which is `min` at first, doubles each time
    /// and is at most `max`.
    ///
    /// The jitter is full, at the cap too, so that clients that failed together do not return together.
    pub fn after_failure(&mut self) -> Duration {
        let ceiling = self.next_ceiling();
        let floor = (self.min / 10).min(ceiling);
        rand::rng().random_range(floor..=ceiling)
    }

    /// Like [`Self::after_failure`], but at least half of the upper bound: for a peer that refuses us.
    pub fn after_refusal(&mut self) -> Duration {
        let ceiling = self.next_ceiling();
        rand::rng().random_range(ceiling / 2..=ceiling)
    }

    fn next_ceiling(&mut self) -> Duration {
        let ceiling = self.min.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        ceiling
    }

    /// Resets the failure count, after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}
