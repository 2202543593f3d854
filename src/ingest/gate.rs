//! Until when a venue is not to be asked, nor its stream dialled.
//!
//! A limit counts an address at a host. So where REST and the stream have one
//! host, a refusal by either holds both; where they have two, each its own.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use url::Url;

use super::Settings;
use super::decode::quoted;
use crate::clock::Clock;
use crate::domain::{Link, Reason, ReasonCode};

/// Longest ban believed.
pub const HOLD_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// The gates of one venue. What closes them outlives the process: see [`Gate::not_before`].
#[derive(Debug)]
pub struct Gate {
    clock: Clock,
    one_host: bool,
    /// Held for a few lines.
    closed: Mutex<Closed>,
}

/// By the monotonic clock, which nobody sets back.
#[derive(Debug, Default)]
struct Closed {
    rest: Option<(Duration, Reason)>,
    stream: Option<(Duration, Reason)>,
}

impl Closed {
    fn of(&mut self, link: Link) -> &mut Option<(Duration, Reason)> {
        match link {
            Link::Rest => &mut self.rest,
            Link::Stream => &mut self.stream,
        }
    }
}

impl Gate {
    /// The gates as another life of the process left them.
    pub fn new(settings: &Settings, clock: Clock) -> Self {
        let one_host = host(&settings.rest) == host(&settings.stream);
        let gate = Self { clock, one_host, closed: Mutex::default() };
        for (link, until, url) in [
            (Link::Rest, settings.not_before, &settings.rest),
            (Link::Stream, settings.stream_not_before, &settings.stream),
        ] {
            let left = until.and_then(|until| Duration::try_from(until.duration_since(gate.clock.now())).ok());
            if let Some(left) = left {
                let host = host(url).unwrap_or_else(|| quoted(url));
                let reason = Reason::new(ReasonCode::RateLimited, format!("{host} told us to stay away"));
                gate.close(link, left, &reason);
            }
        }
        gate
    }

    /// Closes for so long; a longer hold stays. Returns until when that is.
    ///
    /// Too many requests are counted by host, so they hold whatever shares it;
    /// a door that is shut to us for another reason (403) is that door alone.
    pub fn close(&self, link: Link, hold: Duration, reason: &Reason) -> Duration {
        let until = self.clock.monotonic().saturating_add(hold.min(HOLD_MAX));
        self.each(link, reason, |closed| {
            if closed.as_ref().is_none_or(|(before, _)| *before < until) {
                *closed = Some((until, reason.clone()));
            }
        });
        until
    }

    /// Puts a hold in the place of one that was made before all was known.
    pub fn amend(&self, link: Link, before: Duration, hold: Duration, reason: &Reason) {
        self.each(link, reason, |closed| {
            if closed.as_ref().is_some_and(|(until, _)| *until == before) {
                *closed = None;
            }
        });
        self.close(link, hold, reason);
    }

    fn each(&self, link: Link, reason: &Reason, change: impl Fn(&mut Option<(Duration, Reason)>)) {
        let both = self.one_host && reason.code == ReasonCode::RateLimited;
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        for other in [Link::Rest, Link::Stream].into_iter().filter(|other| both || *other == link) {
            change(closed.of(other));
        }
    }

    /// Returns for how long it is closed, and why.
    pub fn held(&self, link: Link) -> Option<(Duration, Reason)> {
        let now = self.clock.monotonic();
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, reason) = closed.of(link).as_ref()?;
        (*until > now).then(|| (*until - now, reason.clone()))
    }

    /// Returns when it opens, by the wall clock, if it is closed.
    pub fn not_before(&self, link: Link) -> Option<Timestamp> {
        let left = self.held(link)?.0;
        self.clock.now().checked_add(SignedDuration::try_from(left).ok()?).ok()
    }
}

/// Host and port, where the URL has them.
fn host(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    // `ws` and `http` have the same usual port, `wss` and `https` too.
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn gate(rest: &str, stream: &str) -> (Gate, Clock) {
        let clock = Clock::manual(Timestamp::from_second(1_768_000_000).unwrap());
        let profile = crate::venue::ALL[0].profile();
        let settings = Settings { rest: rest.to_owned(), stream: stream.to_owned(), ..Settings::defaults(profile) };
        (Gate::new(&settings, clock.clone()), clock)
    }

    fn reason(code: ReasonCode) -> Reason {
        Reason::new(code, "no")
    }

    #[test]
    fn in_21_a_limit_holds_all_that_shares_its_host_and_nothing_else() {
        let (one, _) = gate("https://api.x.com/v1", "wss://api.x.com/websocket");
        one.close(Link::Stream, MINUTE, &reason(ReasonCode::RateLimited));
        assert!(one.held(Link::Rest).is_some() && one.held(Link::Stream).is_some());
        let (two, _) = gate("https://api.x.com/v1", "wss://ws.x.com/websocket");
        two.close(Link::Rest, MINUTE, &reason(ReasonCode::RateLimited));
        assert!(two.held(Link::Rest).is_some() && two.held(Link::Stream).is_none());
        let (blocked, _) = gate("https://api.x.com/v1", "wss://api.x.com/websocket");
        blocked.close(Link::Rest, MINUTE, &reason(ReasonCode::Blocked));
        assert!(blocked.held(Link::Stream).is_none());
    }

    #[test]
    fn a_longer_hold_stays_and_a_guess_gives_way_to_what_was_said() {
        let (gate, clock) = gate("https://api.x.com", "wss://api.x.com");
        let limited = reason(ReasonCode::RateLimited);
        let guess = gate.close(Link::Rest, MINUTE, &limited);
        gate.close(Link::Rest, MINUTE / 2, &limited);
        assert_eq!(gate.held(Link::Rest).unwrap().0, MINUTE);
        gate.amend(Link::Rest, guess, MINUTE / 6, &limited);
        assert_eq!(gate.held(Link::Stream).unwrap().0, MINUTE / 6);
        gate.amend(Link::Rest, guess, MINUTE / 60, &limited);
        assert_eq!(gate.held(Link::Rest).unwrap().0, MINUTE / 6, "another's hold is not shortened");
        clock.advance(MINUTE / 6);
        assert_eq!(gate.not_before(Link::Rest), None);
    }
}
