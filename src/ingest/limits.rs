//! When a venue may be contacted: rate limits, cool-downs, and back-off after failures.
//!
//! Rate limiting uses token buckets at half of the limits that a venue documents. A cool-down is a time until which
//! a venue's REST API or its stream must not be contacted. Venues apply rate limits per client address and host. So
//! if REST and the stream share a host, a rate limit of either stops both; otherwise each has its own cool-down.
//! Back-off after failures is capped, jittered, and without end.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use url::Url;

use super::settings::Settings;
use crate::clock::Clock;
use crate::feed::{Reason, ReasonCode, Transport, quoted};
use crate::venue::{Limit, Rate};

/// Longest single wait for tokens before trying again.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Longest cool-down accepted from a venue.
const COOLDOWN_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Doublings after which the cap is reached with any settings.
const DOUBLINGS_MAX: u32 = 20;

/// Which requests go first when tokens are short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Tokens available, each counted as `per_token` units, so that refilling is exact in integers. Negative after a
    /// request that costs more than the capacity.
    level: i128,
    /// Length of the window in nanoseconds.
    per_token: i128,
    filled_at: Duration,
}

impl TokenBucket {
    /// Returns a full bucket of `capacity` (at least 1) tokens that refills completely in `window`.
    pub fn new(capacity: u32, window: Duration, now: Duration) -> Self {
        let capacity = u64::from(capacity.max(1));
        let per_token = nanoseconds(window).max(1);
        let level = i128::from(capacity).saturating_mul(per_token);
        Self { capacity, refill: capacity, level, per_token, filled_at: now }
    }

    /// Returns a bucket that never exceeds the documented limit `rate` in any window: half of it is available at
    /// once, and half of it is refilled per window. For limits that start with the bucket, such as a connection's.
    pub fn half_of(rate: Rate, now: Duration) -> Self {
        let Rate { units, window } = rate.widened_to(2);
        Self::new(units / 2, window, now)
    }

    /// Returns a bucket for a limit that outlives the process: it refills half of the documented limit `rate` per
    /// window, and holds half of that, or one token, at most.
    ///
    /// It starts empty, since a previous process may have spent tokens a moment
    /// ago. So even a series of restarts spends no more than three quarters of
    /// the limit in any window; the last quarter is for requests that are
    /// delayed in transit.
    pub fn for_limit(rate: Rate, now: Duration) -> Self {
        let Rate { units, window } = rate.widened_to(4);
        Self { refill: u64::from((units / 2).max(1)), ..Self::new(units / 4, window, now).emptied() }
    }

    /// Returns the bucket without any tokens.
    pub fn emptied(self) -> Self {
        Self { level: 0, ..self }
    }

    /// Takes `tokens` if `reserve` remains after that; otherwise returns how long until it would.
    ///
    /// # Errors
    /// The wait. A request that costs more than the capacity waits for a full bucket, and leaves a debt, so that the
    /// limit holds if no request costs more than half of it.
    pub fn try_acquire(&mut self, tokens: u32, reserve: u32, now: Duration) -> Result<(), Duration> {
        self.check(tokens, reserve, 0, now)?;
        self.take(tokens);
        Ok(())
    }

    /// Refills the bucket; the result is that of [`Self::try_acquire`] after `earlier` tokens have been taken by
    /// others, but no tokens are taken.
    fn check(&mut self, tokens: u32, reserve: u32, earlier: u64, now: Duration) -> Result<(), Duration> {
        let full = self.cost(self.capacity);
        let gained = nanoseconds(now.saturating_sub(self.filled_at)).saturating_mul(i128::from(self.refill));
        self.level = self.level.saturating_add(gained).min(full);
        self.filled_at = now;
        let own = self.cost(u64::from(tokens) + u64::from(reserve)).min(full);
        let needed = self.cost(earlier).saturating_add(own);
        if self.level >= needed {
            return Ok(());
        }
        let wait = needed.saturating_sub(self.level).unsigned_abs().div_ceil(u128::from(self.refill));
        Err(Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    fn take(&mut self, tokens: u32) {
        self.level = self.level.saturating_sub(self.cost(u64::from(tokens)));
    }

    fn cost(&self, tokens: u64) -> i128 {
        i128::from(tokens).saturating_mul(self.per_token)
    }

    /// Returns the tokens reserved for higher priorities: a quarter of the bucket, at most one second of refill.
    fn reserve(&self, priority: Priority) -> u32 {
        const SECOND: i128 = 1_000_000_000;
        let second = i128::from(self.refill) * SECOND / self.per_token;
        match priority {
            Priority::Price => 0,
            Priority::Backfill => u32::try_from(i128::from(self.capacity / 4).min(second)).unwrap_or(u32::MAX),
        }
    }
}

fn nanoseconds(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

/// Buckets of a limit with several windows: tokens are taken from all of them or from none.
#[derive(Debug, Clone)]
pub struct TokenBuckets(Vec<TokenBucket>);

impl TokenBuckets {
    /// Creates one bucket per rate, each like [`TokenBucket::half_of`].
    pub fn half_of(rates: &[Rate], now: Duration) -> Self {
        Self(rates.iter().map(|rate| TokenBucket::half_of(*rate, now)).collect())
    }

    /// Creates one bucket per rate, each like [`TokenBucket::for_limit`].
    pub fn for_limit(rates: &[Rate], now: Duration) -> Self {
        Self(rates.iter().map(|rate| TokenBucket::for_limit(*rate, now)).collect())
    }

    /// Takes `tokens` from each bucket if all have them; otherwise returns how long until all would.
    ///
    /// # Errors
    /// The wait.
    pub fn try_acquire(&mut self, tokens: u32, priority: Priority, now: Duration) -> Result<(), Duration> {
        self.check(tokens, priority, 0, now)?;
        self.take(tokens);
        Ok(())
    }

    fn check(&mut self, tokens: u32, priority: Priority, earlier: u64, now: Duration) -> Result<(), Duration> {
        let checked = self.0.iter_mut().map(|bucket| bucket.check(tokens, bucket.reserve(priority), earlier, now));
        checked.filter_map(Result::err).max().map_or(Ok(()), Err)
    }

    fn take(&mut self, tokens: u32) {
        self.0.iter_mut().for_each(|bucket| bucket.take(tokens));
    }
}

/// Units by group.
type Costs = Vec<(&'static str, u32)>;

/// Rate limiter of one venue's REST API, shared by polling, price checks and backfill.
#[derive(Debug)]
pub struct RateLimiter {
    clock: Clock,
    /// Locked for the arithmetic only.
    state: Mutex<LimiterState>,
}

#[derive(Debug)]
struct LimiterState {
    /// The buckets of each group.
    groups: BTreeMap<&'static str, TokenBuckets>,
    /// The costs of the requests that wait, in their order.
    waiting: BTreeMap<(Priority, u64), Costs>,
    next_turn: u64,
}

/// Position of a request in the queue for tokens; dropping it leaves the queue.
struct Turn<'a> {
    rate_limiter: &'a RateLimiter,
    key: (Priority, u64),
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.rate_limiter.state().waiting.remove(&self.key);
    }
}

impl RateLimiter {
    /// Creates the buckets of each limit.
    pub fn new(limits: &[Limit], clock: Clock) -> Self {
        let now = clock.monotonic();
        let groups = limits.iter().map(|limit| (limit.group, TokenBuckets::for_limit(limit.rates, now))).collect();
        Self { clock, state: Mutex::new(LimiterState { groups, waiting: BTreeMap::new(), next_turn: 0 }) }
    }

    /// Waits until `costs`, units by group, may be spent, and spends them.
    ///
    /// Requests of the same priority get their tokens in order: an expensive one is not overtaken without end by
    /// cheap ones. A later one may go first if that delays no earlier one.
    ///
    /// A group without a documented limit gets one request per second, so that a
    /// forgotten limit makes requests slow and never too many.
    pub async fn acquire(&self, costs: &[(&'static str, u32)], priority: Priority) {
        let turn = self.turn(costs, priority);
        while let Err(wait) = self.try_acquire(costs, turn.key) {
            tokio::time::sleep(wait.min(WAIT_MAX)).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, LimiterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, costs: &[(&'static str, u32)], priority: Priority) -> Turn<'_> {
        let mut state = self.state();
        let key = (priority, state.next_turn);
        state.next_turn += 1;
        state.waiting.insert(key, costs.to_vec());
        Turn { rate_limiter: self, key }
    }

    fn try_acquire(&self, costs: &[(&'static str, u32)], key: (Priority, u64)) -> Result<(), Duration> {
        let now = self.clock.monotonic();
        let LimiterState { groups, waiting, .. } = &mut *self.state();
        let undocumented = || TokenBuckets(vec![TokenBucket::new(1, Duration::from_secs(1), now).emptied()]);
        let mut wait = None;
        for (group, units) in costs {
            let ahead = waiting.range(..key).flat_map(|(_, costs)| costs).filter(|(other, _)| other == group);
            let earlier = ahead.map(|(_, units)| u64::from(*units)).sum();
            let buckets = groups.entry(group).or_insert_with(undocumented);
            wait = wait.max(buckets.check(*units, key.0, earlier, now).err());
        }
        if let Some(wait) = wait {
            return Err(wait);
        }
        for (group, units) in costs {
            if let Some(buckets) = groups.get_mut(group) {
                buckets.take(*units);
            }
        }
        waiting.remove(&key);
        Ok(())
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

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    const SECOND: Duration = Duration::from_secs(1);

    /// Groups with one, two and three windows.
    const LIMITS: &[Limit] = &[
        Limit { group: "a", rates: &[Rate::per_second(8)] },
        Limit { group: "b", rates: &[Rate::per_second(20), Rate::per_minute(100)] },
        Limit {
            group: "c",
            rates: &[Rate::per_second(41), Rate { units: 63, window: Duration::from_secs(7) }, Rate::per_minute(302)],
        },
    ];

    fn manual_limiter() -> (RateLimiter, Clock) {
        let clock = Clock::manual(Timestamp::from_second(1_768_000_000).unwrap());
        (RateLimiter::new(LIMITS, clock.clone()), clock)
    }

    /// Tries to spend without waiting.
    fn spend(limiter: &RateLimiter, costs: &[(&'static str, u32)], priority: Priority) -> bool {
        let turn = limiter.turn(costs, priority);
        limiter.try_acquire(costs, turn.key).is_ok()
    }

    proptest! {
        /// A request may cost a quarter of a limit; half of it, as long as the process is not restarted.
        #[test]
        fn no_window_of_any_group_ever_exceeds_its_limit_whatever_is_requested_and_however_often_we_restart(
            steps in vec((0u64..3000, [0u32..5, 0u32..11, 0u32..21], any::<bool>(), 0u32..5), 1..400),
            restarts in any::<bool>(),
        ) {
            let (mut limiter, clock) = manual_limiter();
            let mut spent: Vec<(Duration, [u32; 3])> = Vec::new();
            for (wait_ms, units, is_price, restart) in steps {
                // Half of the requests come in bursts.
                clock.advance(Duration::from_millis(if wait_ms % 2 == 0 { 0 } else { wait_ms }));
                if restarts && restart == 0 {
                    limiter = RateLimiter::new(LIMITS, clock.clone());
                }
                let units = if restarts { [units[0].min(2), units[1].min(5), units[2].min(10)] } else { units };
                let costs: Vec<_> = LIMITS.iter().zip(units).map(|(limit, units)| (limit.group, units)).collect();
                let costs: Vec<_> = costs.into_iter().filter(|(_, units)| *units > 0).collect();
                if spend(&limiter, &costs, if is_price { Priority::Price } else { Priority::Backfill }) {
                    spent.push((clock.monotonic(), units));
                }
            }
            for (at, limit) in LIMITS.iter().enumerate() {
                for rate in limit.rates {
                    for (from, _) in &spent {
                        let inside = spent.iter().filter(|(time, _)| time >= from && *time < *from + rate.window);
                        let units: u32 = inside.map(|(_, units)| units[at]).sum();
                        prop_assert!(units <= rate.units, "{units} of {} in {rate:?}", limit.group);
                    }
                }
            }
        }
    }

    #[test]
    fn a_request_takes_its_costs_from_all_groups_or_from_none() {
        let (limiter, clock) = manual_limiter();
        clock.advance(MINUTE);
        assert!(spend(&limiter, &[("b", 5)], Priority::Price), "b is full and is emptied");
        // The request waits for b: a keeps its two tokens, whoever asks first.
        for costs in [[("a", 2), ("b", 5)], [("b", 5), ("a", 2)]] {
            assert!(!spend(&limiter, &costs, Priority::Price));
        }
        assert!(spend(&limiter, &[("a", 2)], Priority::Price));
        assert!(!spend(&limiter, &[("a", 1)], Priority::Price), "a is empty");
        clock.advance(SECOND);
        assert!(spend(&limiter, &[("a", 2), ("b", 5)], Priority::Price));
        assert!(!spend(&limiter, &[("a", 1)], Priority::Price));
        assert!(!spend(&limiter, &[("b", 6)], Priority::Price));
    }

    #[test]
    fn a_request_for_more_than_a_bucket_holds_is_paid_in_full() {
        let (limiter, clock) = manual_limiter();
        clock.advance(MINUTE);
        // The bucket of 8 per second holds two tokens and gains four per second.
        assert!(spend(&limiter, &[("a", 4)], Priority::Price));
        clock.advance(SECOND - Duration::from_millis(1));
        assert!(!spend(&limiter, &[("a", 4)], Priority::Price));
        clock.advance(Duration::from_millis(1));
        assert!(spend(&limiter, &[("a", 4)], Priority::Price));
    }

    #[test]
    fn a_group_without_a_documented_limit_gets_one_request_per_second() {
        let (limiter, clock) = manual_limiter();
        let mut granted = 0;
        for _ in 0..100 {
            granted += u32::from(spend(&limiter, &[("forgotten", 1)], Priority::Price));
            clock.advance(SECOND / 10);
        }
        assert_eq!(granted, 9, "the first one after a second");
        assert!(!spend(&limiter, &[("a", 1), ("another", 1)], Priority::Price));
    }

    /// Returns how long a request of 20 units waits while others, of the same or a lower priority, take all tokens.
    async fn wait_among(others: Priority) -> Duration {
        let clock = Clock::tokio(Timestamp::UNIX_EPOCH);
        let rates = const { &[Rate::per_second(80), Rate::per_minute(2400)] };
        let limiter = RateLimiter::new(&[Limit { group: "x", rates }], clock.clone());
        let spend = || async {
            loop {
                limiter.acquire(&[("x", 1)], others).await;
            }
        };
        let wait = async {
            tokio::time::sleep(10 * SECOND).await;
            let begun = clock.monotonic();
            tokio::time::timeout(MINUTE, limiter.acquire(&[("x", 20)], Priority::Price)).await.unwrap();
            clock.monotonic() - begun
        };
        tokio::select! {
            _ = futures_util::future::join_all((0..10).map(|_| spend())) => unreachable!("they never end"),
            waited = wait => waited,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_expensive_request_is_not_overtaken_without_end_by_cheap_ones() {
        for others in [Priority::Price, Priority::Backfill] {
            // The longer window gains 20 units per second.
            let wait = wait_among(others).await;
            assert!(wait < 3 * SECOND, "{wait:?} among {others:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_given_up_delays_no_other() {
        let clock = Clock::tokio(Timestamp::UNIX_EPOCH);
        let limiter = RateLimiter::new(LIMITS, clock.clone());
        let expensive = limiter.acquire(&[("b", 10)], Priority::Price);
        assert!(tokio::time::timeout(SECOND / 10, expensive).await.is_err());
        let begun = clock.monotonic();
        limiter.acquire(&[("b", 1)], Priority::Price).await;
        let wait = clock.monotonic() - begun;
        assert!(wait <= 2 * SECOND, "{wait:?}: 50 units per minute");
        assert!(limiter.state().waiting.is_empty());
    }

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
