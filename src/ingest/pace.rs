//! How fast we may ask: token buckets at half of what a venue documents.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::venue::Limit;

/// Longest single wait for a token before looking again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Who goes first when tokens are short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Prices and the list of markets.
    Price,
    /// Candles: they leave a part of the bucket to prices.
    Backfill,
}

/// A token bucket. Time is an argument, so that it is exact under a paused clock.
#[derive(Debug, Clone)]
pub struct Bucket {
    capacity: u64,
    /// Tokens that come back in a window.
    refill: u64,
    /// Tokens, each counted as `window` nanoseconds, so that refilling is exact in whole numbers.
    level: u128,
    per_token: u128,
    filled_at: Duration,
}

impl Bucket {
    /// A full bucket of `capacity` (at least 1) tokens that refills fully in `window`.
    pub fn new(capacity: u32, window: Duration, now: Duration) -> Self {
        let capacity = u64::from(capacity.max(1));
        let per_token = window.as_nanos().max(1);
        Self { capacity, refill: capacity, level: u128::from(capacity) * per_token, per_token, filled_at: now }
    }

    /// A bucket that never lets through more than the documented figure in any window:
    /// half of it at once, and half of it again per window. For what begins with the bucket, as a connection does.
    pub fn half_of(weight: u32, window: Duration, now: Duration) -> Self {
        Self::new(weight / 2, window, now)
    }

    /// A bucket for a limit that outlives the process: half of the documented figure per window,
    /// of which half may come at once.
    ///
    /// It starts empty, since another life of the process may have spent a
    /// moment ago what this one knows nothing of. So no row of lives, however
    /// short, spends more than three quarters of the figure in any window; the
    /// last quarter is for requests that wait on their way.
    pub fn of_limit(weight: u32, window: Duration, now: Duration) -> Self {
        let refill = u64::from((weight / 2).max(1));
        Self { refill, ..Self::new(weight / 4, window, now).emptied() }
    }

    /// The same, with nothing in it.
    pub fn emptied(self) -> Self {
        Self { level: 0, ..self }
    }

    /// Takes `tokens` if they are there above `reserve`; otherwise returns how long until they are.
    ///
    /// # Errors
    /// The wait. A request dearer than the whole bucket waits for a full one.
    pub fn take(&mut self, tokens: u32, reserve: u32, now: Duration) -> Result<(), Duration> {
        let full = u128::from(self.capacity) * self.per_token;
        let gained = now.saturating_sub(self.filled_at).as_nanos().saturating_mul(u128::from(self.refill));
        self.level = self.level.saturating_add(gained).min(full);
        self.filled_at = now;
        let price = u128::from(tokens).saturating_mul(self.per_token).min(full);
        let needed = price.saturating_add(u128::from(reserve).saturating_mul(self.per_token)).min(full);
        if self.level >= needed {
            self.level -= price;
            return Ok(());
        }
        let wait = (needed - self.level).div_ceil(u128::from(self.refill));
        Err(Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    /// What is left to the more urgent: a quarter of the bucket, but no more than comes back in a second.
    fn reserve(&self, priority: Priority) -> u32 {
        const SECOND: u128 = 1_000_000_000;
        let second = u128::from(self.refill) * SECOND / self.per_token;
        match priority {
            Priority::Price => 0,
            Priority::Backfill => u32::try_from(u128::from(self.capacity / 4).min(second)).unwrap_or(u32::MAX),
        }
    }
}

/// The buckets of one venue's REST API, shared by poller, checks and backfill.
#[derive(Debug)]
pub struct Pace {
    clock: Clock,
    /// Held for the arithmetic only.
    buckets: Mutex<BTreeMap<&'static str, Bucket>>,
}

impl Pace {
    /// Makes a bucket for each group.
    pub fn new(limits: &[Limit], clock: Clock) -> Self {
        let now = clock.monotonic();
        let buckets =
            limits.iter().map(|limit| (limit.group, Bucket::of_limit(limit.weight, limit.window, now))).collect();
        Self { clock, buckets: Mutex::new(buckets) }
    }

    /// Waits until `weight` units of `group` may be spent, and spends them.
    ///
    /// A group without a documented limit gets one request a second, so that a
    /// forgotten limit is slow and never a flood.
    pub async fn take(&self, group: &'static str, weight: u32, priority: Priority) {
        while let Err(wait) = self.try_take(group, weight, priority) {
            tokio::time::sleep(wait.min(LOOK_AGAIN)).await;
        }
    }

    fn try_take(&self, group: &'static str, weight: u32, priority: Priority) -> Result<(), Duration> {
        let now = self.clock.monotonic();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(group).or_insert_with(|| Bucket::new(1, Duration::from_secs(1), now).emptied());
        let reserve = bucket.reserve(priority);
        bucket.take(weight, reserve, now)
    }
}
