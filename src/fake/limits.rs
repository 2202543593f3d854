//! The venues' limits of requests and connections: 429 first, then shut out, as each of them counts.
//!
//! Every window is a fixed one. Upbit's begins with its first request
//! (documented until 2022, not contradicted since). Bithumb's headers are those
//! of a bucket that is filled by the second and holds one second's worth, which
//! comes to the same as a window by the clock. Binance documents minutes by the
//! clock for weight; that it counts connections so too is assumed, and so is
//! how each of them answers a connection too many beyond its status.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::binance;
use super::query::Target;
use super::view::FakeResponse;

/// Refusals in a row after which a client is shut out.
const STRIKES_MAX: u32 = 10;

/// Counters kept; those without a window that runs are thrown away first, then all.
const COUNTS_MAX: usize = 10_000;

/// What is counted, and how.
#[derive(Debug, Clone, Copy)]
struct Rule {
    most: u32,
    window: Duration,
    /// Whether a window begins with its first request rather than by the clock.
    from_first: bool,
    /// How long a client is shut out after [`STRIKES_MAX`] refusals.
    ban: Duration,
    /// The status that then is answered.
    banned: u16,
}

const fn rule(most: u32, window_secs: u64, from_first: bool, ban_secs: u64, banned: u16) -> Rule {
    Rule { most, window: Duration::from_secs(window_secs), from_first, ban: Duration::from_secs(ban_secs), banned }
}

const UPBIT: Rule = rule(10, 1, true, 30, 418);
const UPBIT_ORIGIN: Rule = rule(1, 10, true, 30, 418);
const UPBIT_CONNECTS: Rule = rule(5, 1, true, 30, 418);
const BITHUMB: Rule = rule(150, 1, false, 60, 418);
const BITHUMB_CONNECTS: Rule = rule(10, 1, false, 600, 429);
const BINANCE: Rule = rule(6000, 60, false, 120, 418);
const BINANCE_CONNECTS: Rule = rule(300, 300, false, 120, 418);

#[derive(Debug, Default)]
struct Count {
    /// When the window began; `None` before the first.
    window: Option<Duration>,
    used: u32,
    strikes: u32,
    banned_until: Duration,
}

/// The counters, by venue, group and client address.
#[derive(Debug, Default)]
pub struct Limits(BTreeMap<(&'static str, &'static str, IpAddr), Count>);

/// A request that is to be counted.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The venue.
    pub venue: &'static str,
    /// Who asks.
    pub from: IpAddr,
    /// What is asked for; `None` for a stream.
    pub target: Option<&'a Target>,
    /// Whether it has an `Origin` header, as a browser's requests do.
    pub origin: bool,
}

impl Asked<'_> {
    /// The rule that it falls under, the name of its group, and what it costs.
    fn rule(&self) -> Option<(Rule, &'static str, u32)> {
        match (self.venue, self.target) {
            // One budget for everything that a page asks for.
            ("upbit", _) if self.origin => Some((UPBIT_ORIGIN, "origin", 1)),
            ("upbit", None) => Some((UPBIT_CONNECTS, "websocket-connect", 1)),
            ("upbit", Some(target)) => Some((UPBIT, group(&target.path), 1)),
            ("bithumb", None) => Some((BITHUMB_CONNECTS, "websocket-connect", 1)),
            ("bithumb", Some(target)) => Some((BITHUMB, group(&target.path), 1)),
            ("binance", None) => Some((BINANCE_CONNECTS, "connections", 1)),
            ("binance", Some(target)) => Some((BINANCE, "all", binance::weight(target))),
            _ => None,
        }
    }
}

/// What the counters say about a request.
#[derive(Debug)]
pub enum Verdict {
    /// It goes through; these headers go with its answer.
    Pass(Vec<(String, String)>),
    /// It is refused.
    Refuse(FakeResponse),
}

impl Limits {
    /// Counts a request; `now` is monotonic.
    pub fn count(&mut self, asked: &Asked<'_>, now: Duration) -> Verdict {
        let Some((rule, group, weight)) = asked.rule() else { return Verdict::Pass(Vec::new()) };
        self.make_room(now);
        let venue = asked.venue;
        let count = self.0.entry((venue, group, asked.from)).or_default();
        if now < count.banned_until {
            return Verdict::Refuse(refusal(venue, rule.banned, count.banned_until - now));
        }
        let window = match count.window {
            Some(begin) if now < begin + rule.window => begin,
            _ if rule.from_first => now,
            _ => now - Duration::from_nanos(u64::try_from(now.as_nanos() % rule.window.as_nanos()).unwrap_or(0)),
        };
        if count.window != Some(window) {
            // A calm window forgives.
            let strikes = if count.used > rule.most { count.strikes } else { 0 };
            *count = Count { window: Some(window), used: 0, strikes, banned_until: count.banned_until };
        }
        count.used += weight;
        if count.used <= rule.most {
            return Verdict::Pass(headers(venue, group, count.used, rule));
        }
        count.strikes += 1;
        if count.strikes > STRIKES_MAX {
            count.banned_until = now + rule.ban;
            count.strikes = 0;
            return Verdict::Refuse(refusal(venue, rule.banned, rule.ban));
        }
        Verdict::Refuse(refusal(venue, 429, (window + rule.window).saturating_sub(now)))
    }

    fn make_room(&mut self, now: Duration) {
        if self.0.len() < COUNTS_MAX {
            return;
        }
        // The longest window is five minutes.
        let old = now.saturating_sub(Duration::from_secs(300));
        self.0.retain(|_, count| count.banned_until > now || count.window.is_some_and(|begin| begin > old));
        if self.0.len() >= COUNTS_MAX {
            self.0.clear();
        }
    }
}

fn group(path: &str) -> &'static str {
    let table = [("candle", "candle"), ("orderbook", "orderbook"), ("ticker", "ticker"), ("trades", "trade")];
    table.into_iter().find(|(part, _)| path.contains(part)).map_or("market", |(_, group)| group)
}

fn headers(venue: &str, group: &str, used: u32, rule: Rule) -> Vec<(String, String)> {
    let left = rule.most.saturating_sub(used);
    let pairs = match venue {
        // The minute's figure is left over from older days: sixty times the second's.
        "upbit" => vec![("remaining-req", format!("group={group}; min={}; sec={left}", 60 * rule.most))],
        "bithumb" => vec![
            ("x-ratelimit-remaining", left.to_string()),
            ("x-ratelimit-requested-tokens", "1".to_owned()),
            ("x-ratelimit-burst-capacity", rule.most.to_string()),
            ("x-ratelimit-replenish-rate", rule.most.to_string()),
        ],
        _ => vec![("x-mbx-used-weight", used.to_string()), ("x-mbx-used-weight-1m", used.to_string())],
    };
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn refusal(venue: &str, status: u16, wait: Duration) -> FakeResponse {
    // The wait rounded up to whole seconds, never 0.
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
