//! Rate limiting: token buckets at half of the limits that a venue documents.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::venue::Limit;

/// Longest single wait for tokens before trying again.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Which requests go first when tokens are short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Prices and the market list.
    Price,
    /// Candles; these leave a part of the bucket to prices.
    Backfill,
}

/// A token bucket. Time is an argument, so that it is exact with a paused clock.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    capacity: u64,
    /// Tokens that are refilled per window.
    refill: u64,
    /// Tokens available, each counted as `per_token` units, so that refilling is exact in integers.
    level: u128,
    /// Length of the window in nanoseconds.
    per_token: u128,
    filled_at: Duration,
}

impl TokenBucket {
    /// Returns a full bucket of `capacity` (at least 1) tokens that refills completely in `window`.
    pub fn new(capacity: u32, window: Duration, now: Duration) -> Self {
        let capacity = u64::from(capacity.max(1));
        let per_token = window.as_nanos().max(1);
        Self { capacity, refill: capacity, level: u128::from(capacity) * per_token, per_token, filled_at: now }
    }

    /// Returns a bucket that never exceeds the documented limit `weight` in any window: half of it is available at
    /// once, and half of it is refilled per window. For limits that start with the bucket, such as a connection's.
    pub fn half_of(weight: u32, window: Duration, now: Duration) -> Self {
        Self::new(weight / 2, window, now)
    }

    /// Returns a bucket for a limit that outlives the process: it refills half of the documented limit `weight` per
    /// window, and holds half of that at most.
    ///
    /// It starts empty, since a previous process may have spent tokens a moment
    /// ago. So even a series of restarts spends no more than three quarters of
    /// the limit in any window; the last quarter is for requests that are
    /// delayed in transit.
    pub fn for_limit(weight: u32, window: Duration, now: Duration) -> Self {
        let refill = u64::from((weight / 2).max(1));
        Self { refill, ..Self::new(weight / 4, window, now).emptied() }
    }

    /// Returns the bucket without any tokens.
    pub fn emptied(self) -> Self {
        Self { level: 0, ..self }
    }

    /// Takes `tokens` if `reserve` remains after that; otherwise returns how long until it would.
    ///
    /// # Errors
    /// The wait. A request that costs more than the capacity waits for a full bucket.
    pub fn try_acquire(&mut self, tokens: u32, reserve: u32, now: Duration) -> Result<(), Duration> {
        let full = u128::from(self.capacity) * self.per_token;
        let gained = now.saturating_sub(self.filled_at).as_nanos().saturating_mul(u128::from(self.refill));
        self.level = self.level.saturating_add(gained).min(full);
        self.filled_at = now;
        let cost = u128::from(tokens).saturating_mul(self.per_token).min(full);
        let needed = cost.saturating_add(u128::from(reserve).saturating_mul(self.per_token)).min(full);
        if self.level >= needed {
            self.level -= cost;
            return Ok(());
        }
        let wait = (needed - self.level).div_ceil(u128::from(self.refill));
        Err(Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    /// Returns the tokens reserved for higher priorities: a quarter of the bucket, at most one second of refill.
    fn reserve(&self, priority: Priority) -> u32 {
        const SECOND: u128 = 1_000_000_000;
        let second = u128::from(self.refill) * SECOND / self.per_token;
        match priority {
            Priority::Price => 0,
            Priority::Backfill => u32::try_from(u128::from(self.capacity / 4).min(second)).unwrap_or(u32::MAX),
        }
    }
}

/// Rate limiter of one venue's REST API, shared by polling, price checks and backfill.
#[derive(Debug)]
pub struct RateLimiter {
    clock: Clock,
    /// Locked for the arithmetic only.
    buckets: Mutex<BTreeMap<&'static str, TokenBucket>>,
}

impl RateLimiter {
    /// Creates a bucket for each limit.
    pub fn new(limits: &[Limit], clock: Clock) -> Self {
        let now = clock.monotonic();
        let buckets =
            limits.iter().map(|limit| (limit.group, TokenBucket::for_limit(limit.weight, limit.window, now))).collect();
        Self { clock, buckets: Mutex::new(buckets) }
    }

    /// Waits until `weight` units of `group` may be spent, and spends them.
    ///
    /// A group without a documented limit gets one request per second, so that a
    /// forgotten limit makes requests slow and never too many.
    pub async fn acquire(&self, group: &'static str, weight: u32, priority: Priority) {
        while let Err(wait) = self.try_acquire(group, weight, priority) {
            tokio::time::sleep(wait.min(WAIT_MAX)).await;
        }
    }

    fn try_acquire(&self, group: &'static str, weight: u32, priority: Priority) -> Result<(), Duration> {
        let now = self.clock.monotonic();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(group).or_insert_with(|| TokenBucket::new(1, Duration::from_secs(1), now).emptied());
        let reserve = bucket.reserve(priority);
        bucket.try_acquire(weight, reserve, now)
    }
}
