//! Waiting after failures: capped, jittered, endless.

use std::time::Duration;

use rand::RngExt;

/// Doublings after which the cap is reached whatever the settings are.
const DOUBLINGS_MAX: u32 = 20;

/// The wait before the next attempt. It never says "give up".
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Starts with waits of up to `min`, growing up to `max`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min: min.min(max), max, failures: 0 }
    }

    /// Counts a failure and returns how long to wait: anything from a tenth of
    /// `min` up to `min`, doubled each time, at most `max`.
    ///
    /// The jitter is full, at the cap too, so that clients that fell together do not come back together.
    pub fn after_failure(&mut self) -> Duration {
        let ceiling = self.ceiling();
        let floor = (self.min / 10).min(ceiling);
        rand::rng().random_range(floor..=ceiling)
    }

    /// The same, but at least half of the longest wait: for a peer that is not to be bothered.
    pub fn after_refusal(&mut self) -> Duration {
        let ceiling = self.ceiling();
        rand::rng().random_range(ceiling / 2..=ceiling)
    }

    fn ceiling(&mut self) -> Duration {
        let ceiling = self.min.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        ceiling
    }

    /// Forgets the failures: the thing works again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}
