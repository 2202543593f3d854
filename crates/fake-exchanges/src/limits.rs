//! The venues' rate limits of requests and connections: 429 first, then a temporary ban.
//!
//! All windows are fixed. Upbit's begins with its first request (documented until 2022, not contradicted since).
//! Bithumb's headers describe a token bucket that is refilled every second and holds one second's tokens, which is
//! equivalent to a window aligned with the clock. Binance documents clock-aligned minutes for weight. Assumed:
//! that Binance aligns its connection windows as well, and with which body each venue refuses a connection (only
//! the status is known).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::binance;
use super::fault_view::FakeResponse;
use super::query::RequestTarget;

/// Refusals after which the next one bans the client; a window within the limit resets the count.
const STRIKES_MAX: u32 = 10;

/// Maximum number of counters; beyond it those with no current window or ban are dropped, then all.
const COUNTERS_MAX: usize = 10_000;

/// A rate limit.
#[derive(Debug, Clone, Copy)]
struct Rule {
    limit: u32,
    window: Duration,
    /// Whether a window begins with its first request; else windows are aligned with the clock.
    from_first: bool,
    /// Length of the ban after [`STRIKES_MAX`] refusals.
    ban: Duration,
    /// HTTP status during a ban.
    ban_status: u16,
}

const fn rule(limit: u32, window_secs: u64, from_first: bool, ban_secs: u64, ban_status: u16) -> Rule {
    Rule { limit, window: Duration::from_secs(window_secs), from_first, ban: Duration::from_secs(ban_secs), ban_status }
}

const UPBIT: Rule = rule(10, 1, true, 30, 418);
const UPBIT_ORIGIN: Rule = rule(1, 10, true, 30, 418);
const UPBIT_CONNECTS: Rule = rule(5, 1, true, 30, 418);
const BITHUMB: Rule = rule(150, 1, false, 60, 418);
const BITHUMB_CONNECTS: Rule = rule(10, 1, false, 600, 429);
const BINANCE: Rule = rule(6000, 60, false, 120, 418);
const BINANCE_CONNECTS: Rule = rule(300, 300, false, 120, 418);

#[derive(Debug, Default)]
struct Counter {
    /// Monotonic start of the current window; `None` before the first request.
    window: Option<Duration>,
    used: u32,
    strikes: u32,
    banned_until: Duration,
}

/// The counters by venue, group and client address.
#[derive(Debug, Default)]
pub struct RateLimits(BTreeMap<(&'static str, &'static str, IpAddr), Counter>);

/// A request to count.
#[derive(Debug, Clone, Copy)]
pub struct CountedRequest<'a> {
    /// The venue.
    pub venue: &'static str,
    /// The client's address.
    pub client: IpAddr,
    /// The request target; `None` for a stream.
    pub target: Option<&'a RequestTarget>,
    /// Whether it has an `Origin` header, which browsers send.
    pub has_origin: bool,
}

impl CountedRequest<'_> {
    /// Returns the rate limit that applies, the name of its group, and the request's weight.
    fn rule(&self) -> Option<(Rule, &'static str, u32)> {
        match (self.venue, self.target) {
            // One budget for all requests with an `Origin` header, streams included.
            ("upbit", _) if self.has_origin => Some((UPBIT_ORIGIN, "origin", 1)),
            ("upbit", None) => Some((UPBIT_CONNECTS, "websocket-connect", 1)),
            ("upbit", Some(target)) => Some((UPBIT, group(&target.path), 1)),
            ("bithumb", None) => Some((BITHUMB_CONNECTS, "websocket-connect", 1)),
            ("bithumb", Some(target)) => Some((BITHUMB, group(&target.path), 1)),
            ("binance", None) => Some((BINANCE_CONNECTS, "connections", 1)),
            ("binance", Some(target)) => Some((BINANCE, "all", binance::request_weight(target))),
            _ => None,
        }
    }
}

/// Whether a request is within the limits.
#[derive(Debug)]
pub enum Verdict {
    /// It is; add these headers to its response.
    Pass(Vec<(String, String)>),
    /// It is not; send this response.
    Refuse(FakeResponse),
}

impl RateLimits {
    /// Counts a request; `now` is monotonic.
    pub fn count(&mut self, request: &CountedRequest<'_>, now: Duration) -> Verdict {
        let Some((rule, group, weight)) = request.rule() else { return Verdict::Pass(Vec::new()) };
        self.make_room(now);
        let venue = request.venue;
        let counter = self.0.entry((venue, group, request.client)).or_default();
        if now < counter.banned_until {
            return Verdict::Refuse(refusal(venue, rule.ban_status, counter.banned_until - now));
        }
        let window = match counter.window {
            Some(begin) if now < begin + rule.window => begin,
            _ if rule.from_first => now,
            _ => now - Duration::from_nanos(u64::try_from(now.as_nanos() % rule.window.as_nanos()).unwrap_or(0)),
        };
        if counter.window != Some(window) {
            // A window that stayed within the limit clears the strikes.
            let strikes = if counter.used > rule.limit { counter.strikes } else { 0 };
            *counter = Counter { window: Some(window), used: 0, strikes, banned_until: counter.banned_until };
        }
        counter.used += weight;
        if counter.used <= rule.limit {
            return Verdict::Pass(headers(venue, group, counter.used, rule));
        }
        counter.strikes += 1;
        if counter.strikes > STRIKES_MAX {
            counter.banned_until = now + rule.ban;
            counter.strikes = 0;
            return Verdict::Refuse(refusal(venue, rule.ban_status, rule.ban));
        }
        Verdict::Refuse(refusal(venue, 429, (window + rule.window).saturating_sub(now)))
    }

    fn make_room(&mut self, now: Duration) {
        if self.0.len() < COUNTERS_MAX {
            return;
        }
        // The longest window is five minutes.
        let old = now.saturating_sub(Duration::from_secs(300));
        self.0.retain(|_, counter| counter.banned_until > now || counter.window.is_some_and(|begin| begin > old));
        if self.0.len() >= COUNTERS_MAX {
            self.0.clear();
        }
    }
}

fn group(path: &str) -> &'static str {
    let table = [("candle", "candle"), ("orderbook", "orderbook"), ("ticker", "ticker"), ("trades", "trade")];
    table.into_iter().find(|(part, _)| path.contains(part)).map_or("market", |(_, group)| group)
}

fn headers(venue: &str, group: &str, used: u32, rule: Rule) -> Vec<(String, String)> {
    let left = rule.limit.saturating_sub(used);
    let pairs = match venue {
        // `min` is a remnant of an older limit, always sixty times that of a second.
        "upbit" => vec![("remaining-req", format!("group={group}; min={}; sec={left}", 60 * rule.limit))],
        "bithumb" => vec![
            ("x-ratelimit-remaining", left.to_string()),
            ("x-ratelimit-requested-tokens", "1".to_owned()),
            ("x-ratelimit-burst-capacity", rule.limit.to_string()),
            ("x-ratelimit-replenish-rate", rule.limit.to_string()),
        ],
        _ => vec![("x-mbx-used-weight", used.to_string()), ("x-mbx-used-weight-1m", used.to_string())],
    };
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn refusal(venue: &str, status: u16, wait: Duration) -> FakeResponse {
    // Rounded up to whole seconds, never 0.
    let seconds = u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1);
    let body = match (venue, status) {
        ("binance", 429) => {
            r#"{"code":-1003,"msg":"Too much request weight used; current limit is 6000 request weight per 1 MINUTE."}"#
                .to_owned()
        }
        ("binance", _) => {
            format!(r#"{{"code":-1003,"msg":"Way too much request weight used; IP banned for {seconds} seconds."}}"#)
        }
        ("upbit", 418) => format!(
            r#"{{"error":{{"name":"blocked","message":"Blocked for {seconds} seconds due to too many requests."}}}}"#
        ),
        _ => r#"{"error":{"name":"too_many_requests","message":"Too many API requests."}}"#.to_owned(),
    };
    let mut response = FakeResponse::json(status, body);
    // Only Binance is known to send it.
    if venue == "binance" {
        response.headers.push(("retry-after".to_owned(), seconds.to_string()));
    }
    response
}
