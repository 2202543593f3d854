//! The venues' request limits: 429 first, then 418, as each of them counts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::binance;
use super::query::Target;
use super::view::FakeResponse;

/// Refusals in a row after which a client is shut out.
const STRIKES_MAX: u32 = 10;

/// How a group's requests are counted.
#[derive(Debug, Clone, Copy)]
struct Rule {
    most: u32,
    window: Duration,
    /// How long a client is shut out after [`STRIKES_MAX`] refusals.
    ban: Duration,
}

const UPBIT: Rule = Rule { most: 10, window: Duration::from_secs(1), ban: Duration::from_secs(30) };
const BITHUMB: Rule = Rule { most: 150, window: Duration::from_secs(1), ban: Duration::from_secs(60) };
const BINANCE: Rule = Rule { most: 6000, window: Duration::from_secs(60), ban: Duration::from_secs(120) };

#[derive(Debug, Default)]
struct Count {
    window: u128,
    used: u32,
    strikes: u32,
    banned_until: Duration,
}

/// The counters of the one client address there is.
#[derive(Debug, Default)]
pub struct Limits(BTreeMap<(String, &'static str), Count>);

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
    pub fn count(&mut self, venue: &str, target: &Target, now: Duration) -> Verdict {
        let group = group(&target.path);
        let (rule, weight, group) = match venue {
            "upbit" => (UPBIT, 1, group),
            "bithumb" => (BITHUMB, 1, group),
            "binance" => (BINANCE, binance::weight(target), "all"),
            _ => return Verdict::Pass(Vec::new()),
        };
        let count = self.0.entry((venue.to_owned(), group)).or_default();
        let window = now.as_nanos() / rule.window.as_nanos();
        if now < count.banned_until {
            return Verdict::Refuse(refusal(venue, 418, count.banned_until - now));
        }
        if window != count.window {
            // A calm window forgives.
            let strikes = if count.used > rule.most { count.strikes } else { 0 };
            *count = Count { window, used: 0, strikes, banned_until: count.banned_until };
        }
        count.used += weight;
        if count.used <= rule.most {
            return Verdict::Pass(headers(venue, group, count.used, rule));
        }
        count.strikes += 1;
        if count.strikes > STRIKES_MAX {
            count.banned_until = now + rule.ban;
            count.strikes = 0;
            return Verdict::Refuse(refusal(venue, 418, rule.ban));
        }
        let left = rule.window.as_nanos() - now.as_nanos() % rule.window.as_nanos();
        Verdict::Refuse(refusal(venue, 429, Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX))))
    }
}

fn group(path: &str) -> &'static str {
    let table = [("candle", "candle"), ("orderbook", "orderbook"), ("ticker", "ticker"), ("trades", "trade")];
    table.into_iter().find(|(part, _)| path.contains(part)).map_or("market", |(_, group)| group)
}

fn headers(venue: &str, group: &str, used: u32, rule: Rule) -> Vec<(String, String)> {
    let left = rule.most.saturating_sub(used);
    let pairs = match venue {
        "upbit" => vec![("remaining-req", format!("group={group}; min=600; sec={left}"))],
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
