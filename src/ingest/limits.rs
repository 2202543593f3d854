//! When a venue may be contacted: rate limits, cool-downs, and back-off after failures.
//!
//! Rate limiting uses token buckets at half of the limits that a venue documents. A cool-down is a time until which
//! a venue's REST API or its stream must not be contacted. Venues apply rate limits per client address and host. So
//! if REST and the stream share a host, a rate limit of either stops both; otherwise each has its own cool-down.
//! Back-off after failures is capped, jittered, and without end.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use url::Url;

use super::health::quoted;
use super::settings::Settings;
use crate::clock::Clock;
use crate::feed::{Reason, ReasonCode, Transport};
use crate::venue::Limit;

/// Longest single wait for tokens before trying again.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Longest cool-down accepted from a venue.
const COOLDOWN_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Doublings after which the cap is reached with any settings.
const DOUBLINGS_MAX: u32 = 20;

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

/// The cool-downs of one venue. They outlive the process: see [`Cooldowns::not_before`].
#[derive(Debug)]
pub struct Cooldowns {
    clock: Clock,
    is_same_host: bool,
    /// Locked for a few lines.
    ends: Mutex<CooldownEnds>,
}

/// Ends of the cool-downs by the monotonic clock, which is never set back, and their reasons.
#[derive(Debug, Default)]
struct CooldownEnds {
    rest: Option<(Duration, Reason)>,
    stream: Option<(Duration, Reason)>,
}

impl CooldownEnds {
    fn of(&mut self, transport: Transport) -> &mut Option<(Duration, Reason)> {
        match transport {
            Transport::Rest => &mut self.rest,
            Transport::Stream => &mut self.stream,
        }
    }
}

impl Cooldowns {
    /// Restores the cool-downs that the previous process left.
    pub fn new(settings: &Settings, clock: Clock) -> Self {
        let is_same_host = host(&settings.rest) == host(&settings.stream);
        let cooldowns = Self { clock, is_same_host, ends: Mutex::default() };
        for (transport, until, url) in [
            (Transport::Rest, settings.not_before, &settings.rest),
            (Transport::Stream, settings.stream_not_before, &settings.stream),
        ] {
            let left = until.and_then(|until| Duration::try_from(until.duration_since(cooldowns.clock.now())).ok());
            if let Some(left) = left {
                let host = host(url).unwrap_or_else(|| quoted(url));
                let reason = Reason::new(ReasonCode::RateLimited, format!("{host} imposed a cool-down earlier"));
                cooldowns.start(transport, left, &reason);
            }
        }
        cooldowns
    }

    /// Starts a cool-down of this duration, unless a longer one is in effect. Returns the end
    /// (monotonic) of the requested one in any case.
    ///
    /// Requests are counted per host, so a rate limit applies to everything on
    /// it; a refusal for another reason (403) applies to `transport` alone.
    pub fn start(&self, transport: Transport, duration: Duration, reason: &Reason) -> Duration {
        let until = self.clock.monotonic().saturating_add(duration.min(COOLDOWN_MAX));
        self.update(transport, reason, |ends| {
            if ends.as_ref().is_none_or(|(before, _)| *before < until) {
                *ends = Some((until, reason.clone()));
            }
        });
        until
    }

    /// Replaces the cool-down that ends at `before`, which was started before the whole response had arrived.
    pub fn replace(&self, transport: Transport, before: Duration, duration: Duration, reason: &Reason) {
        self.update(transport, reason, |ends| {
            if ends.as_ref().is_some_and(|(until, _)| *until == before) {
                *ends = None;
            }
        });
        self.start(transport, duration, reason);
    }

    fn update(&self, transport: Transport, reason: &Reason, change: impl Fn(&mut Option<(Duration, Reason)>)) {
        let both = self.is_same_host && reason.code == ReasonCode::RateLimited;
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for other in [Transport::Rest, Transport::Stream].into_iter().filter(|other| both || *other == transport) {
            change(ends.of(other));
        }
    }

    /// Returns the time left of the cool-down in effect, and its reason.
    pub fn remaining(&self, transport: Transport) -> Option<(Duration, Reason)> {
        let now = self.clock.monotonic();
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, reason) = ends.of(transport).as_ref()?;
        (*until > now).then(|| (*until - now, reason.clone()))
    }

    /// Returns the end of the cool-down in effect, by the wall clock.
    pub fn not_before(&self, transport: Transport) -> Option<Timestamp> {
        let left = self.remaining(transport)?.0;
        self.clock.now().checked_add(SignedDuration::try_from(left).ok()?).ok()
    }
}

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

/// Returns host and port, if the URL has them.
fn host(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    // `ws` and `http` have the same default port; so have `wss` and `https`.
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

/// Returns the length of the cool-down that a status imposes, if any.
///
/// For 429 and 418 it is taken from `Retry-After` (seconds or a date), else from
/// a time in epoch milliseconds in the body, as in `banned until 1767225600000`,
/// else from the settings; for 403 and 451, always from the settings.
pub fn cooldown_from(
    settings: &Settings,
    status: u16,
    headers: &HeaderMap,
    body: &str,
    now: Timestamp,
) -> Option<Duration> {
    let default = match status {
        403 | 451 => return Some(settings.blocked_retry),
        429 => settings.limited_retry,
        418 => settings.banned_retry,
        _ => return None,
    };
    let header = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let stated = header.and_then(|text| retry_after(text.trim(), now)).or_else(|| epoch_in(body, now));
    Some(stated.unwrap_or(default).min(COOLDOWN_MAX))
}

fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    until(http_date(text)?, now)
}

fn epoch_in(body: &str, now: Timestamp) -> Option<Duration> {
    let digits = body.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() == 13)?;
    until(Timestamp::from_millisecond(digits.parse().ok()?).ok()?, now)
}

fn until(at: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(at.duration_since(now)).ok()
}

/// Parses the date of an HTTP header.
pub fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn cooldowns(rest: &str, stream: &str) -> (Cooldowns, Clock) {
        let clock = Clock::manual(Timestamp::from_second(1_768_000_000).unwrap());
        let profile = crate::venue::ALL[0].profile();
        let settings = Settings { rest: rest.to_owned(), stream: stream.to_owned(), ..Settings::defaults(profile) };
        (Cooldowns::new(&settings, clock.clone()), clock)
    }

    fn reason(code: ReasonCode) -> Reason {
        Reason::new(code, "no")
    }

    #[test]
    fn in_21_a_rate_limit_applies_to_everything_on_its_host_and_nothing_else() {
        let (one, _) = cooldowns("https://api.x.com/v1", "wss://api.x.com/websocket");
        one.start(Transport::Stream, MINUTE, &reason(ReasonCode::RateLimited));
        assert!(one.remaining(Transport::Rest).is_some() && one.remaining(Transport::Stream).is_some());
        let (two, _) = cooldowns("https://api.x.com/v1", "wss://ws.x.com/websocket");
        two.start(Transport::Rest, MINUTE, &reason(ReasonCode::RateLimited));
        assert!(two.remaining(Transport::Rest).is_some() && two.remaining(Transport::Stream).is_none());
        let (blocked, _) = cooldowns("https://api.x.com/v1", "wss://api.x.com/websocket");
        blocked.start(Transport::Rest, MINUTE, &reason(ReasonCode::Blocked));
        assert!(blocked.remaining(Transport::Stream).is_none());
    }

    #[test]
    fn a_longer_cooldown_stays_and_a_guessed_one_gives_way_to_the_stated_one() {
        let (cooldowns, clock) = cooldowns("https://api.x.com", "wss://api.x.com");
        let limited = reason(ReasonCode::RateLimited);
        let guess = cooldowns.start(Transport::Rest, MINUTE, &limited);
        cooldowns.start(Transport::Rest, MINUTE / 2, &limited);
        assert_eq!(cooldowns.remaining(Transport::Rest).unwrap().0, MINUTE);
        cooldowns.replace(Transport::Rest, guess, MINUTE / 6, &limited);
        assert_eq!(cooldowns.remaining(Transport::Stream).unwrap().0, MINUTE / 6);
        cooldowns.replace(Transport::Rest, guess, MINUTE / 60, &limited);
        assert_eq!(cooldowns.remaining(Transport::Rest).unwrap().0, MINUTE / 6, "another cool-down is not shortened");
        clock.advance(MINUTE / 6);
        assert_eq!(cooldowns.not_before(Transport::Rest), None);
    }
}
