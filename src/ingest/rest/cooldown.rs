//! Cool-downs: until when a venue's REST API and its stream must not be contacted.
//!
//! Venues apply rate limits per client address and host. So if REST and the stream share a
//! host, a rate limit of either stops both; otherwise each has its own cool-down.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use url::Url;

use crate::clock::Clock;
use crate::feed::{Reason, ReasonCode, Transport};
use crate::ingest::health::quoted;
use crate::ingest::settings::Settings;

/// Longest cool-down accepted from a venue.
const COOLDOWN_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

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
