//! Rate limits of requests and connections: 429 first, then a temporary ban.
//!
//! A venue declares its limits ([`Limit`]) and says which of them count a request ([`Charge`]); the counters are here.
//! A limit may have several windows, all of which count a request; a request beyond any of them is refused.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::query::RequestTarget;

/// Refusals after which the next one bans the client; a window within the limit resets the count.
const STRIKES_MAX: u32 = 10;

/// Maximum number of counters; beyond it those with no current window or ban are dropped, then all.
const COUNTERS_MAX: usize = 10_000;

/// Status of a response to a request beyond a limit.
const TOO_MANY: u16 = 429;

/// A fixed window of a limit.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Maximum weight within the window.
    pub max: u32,
    /// Length of the window.
    pub length: Duration,
    /// Whether a window begins with its first request; else windows are aligned with the clock.
    pub from_first: bool,
}

impl Window {
    /// Returns a window that begins with its first request.
    pub const fn from_first(max: u32, seconds: u64) -> Self {
        Self { max, length: Duration::from_secs(seconds), from_first: true }
    }

    /// Returns a window that is aligned with the clock.
    pub const fn aligned(max: u32, seconds: u64) -> Self {
        Self { max, length: Duration::from_secs(seconds), from_first: false }
    }

    /// Returns the start of the window that contains `now`, given that of the last one.
    fn start(&self, last: Option<Duration>, now: Duration) -> Duration {
        match last {
            Some(begin) if now < begin + self.length => begin,
            _ if self.from_first => now,
            _ => now - Duration::from_nanos(u64::try_from(now.as_nanos() % self.length.as_nanos()).unwrap_or(0)),
        }
    }
}

/// A rate limit.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Its windows.
    pub windows: &'static [Window],
    /// Length of the ban after ten refusals.
    pub ban: Duration,
    /// Status during a ban.
    pub ban_status: u16,
}

impl Limit {
    /// Returns a limit without bans.
    pub const fn new(windows: &'static [Window]) -> Self {
        Self { windows, ban: Duration::ZERO, ban_status: TOO_MANY }
    }

    /// Returns the limit with a ban of this many seconds after ten refusals, during which the status is still 429.
    pub const fn with_ban(self, seconds: u64) -> Self {
        Self { ban: Duration::from_secs(seconds), ..self }
    }
}

/// A limit that counts a request, and how much of it the request uses.
#[derive(Debug, Clone, Copy)]
pub struct Charge {
    /// The limit.
    pub limit: &'static Limit,
    /// Requests of the same group share a counter.
    pub group: &'static str,
    /// The request's weight.
    pub weight: u32,
}

impl Charge {
    /// Returns a charge.
    pub const fn new(limit: &'static Limit, group: &'static str, weight: u32) -> Self {
        Self { limit, group, weight }
    }
}

/// A request to count.
#[derive(Debug, Clone, Copy)]
pub struct CountedRequest<'a> {
    /// The request target; `None` for a stream.
    pub target: Option<&'a RequestTarget>,
    /// Whether it has an `Origin` header, which browsers send.
    pub has_origin: bool,
}

impl CountedRequest<'_> {
    /// Returns the charge of a venue that counts a request by its path: as in the first row of `requests` with a prefix
    /// of the path, or as a connection.
    pub fn by_path(&self, connections: &'static Limit, requests: &[(&str, Charge)]) -> Vec<Charge> {
        let Some(target) = self.target else {
            return vec![Charge { limit: connections, group: "connect", weight: 1 }];
        };
        let row = requests.iter().find(|(path, _)| target.path.starts_with(path));
        row.map(|(_, charge)| *charge).into_iter().collect()
    }
}

/// What a client has used of the first window of a limit, a request included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The group of the request.
    pub group: &'static str,
    /// The weight used.
    pub used: u32,
    /// The maximum weight.
    pub max: u32,
}

impl Usage {
    /// Returns the weight that is left.
    pub fn left(&self) -> u32 {
        self.max.saturating_sub(self.used)
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status: 429, or the limit's during a ban.
    pub status: u16,
    /// Time until the limit or the ban ends.
    pub wait: Duration,
}

impl Refusal {
    /// Returns the time to wait in seconds, rounded up and never 0.
    pub fn wait_seconds(&self) -> u64 {
        u64::try_from(self.wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1)
    }
}

#[derive(Debug, Default)]
struct Counter {
    /// Monotonic start of the current window and the weight used, by window of the limit.
    windows: Vec<(Option<Duration>, u32)>,
    strikes: u32,
    banned_until: Duration,
    /// Monotonic time from which the counter means nothing any more.
    current_until: Duration,
}

/// The counters by venue, group and client address.
#[derive(Debug, Default)]
pub struct RateLimits(BTreeMap<(&'static str, &'static str, IpAddr), Counter>);

impl RateLimits {
    /// Counts a request of a client at a venue; `now` is monotonic. Returns the usage of each charge.
    ///
    /// # Errors
    /// The refusal with the longest wait, if the request is beyond a limit or the client is banned.
    pub fn count(
        &mut self,
        venue: &'static str,
        client: IpAddr,
        charges: &[Charge],
        now: Duration,
    ) -> Result<Vec<Usage>, Refusal> {
        let (mut usages, mut refusal) = (Vec::new(), None::<Refusal>);
        for charge in charges {
            self.make_room(now);
            match self.0.entry((venue, charge.group, client)).or_default().count(charge, now) {
                Ok(usage) => usages.push(usage),
                Err(found) if refusal.is_none_or(|refusal| refusal.wait < found.wait) => refusal = Some(found),
                Err(_) => {}
            }
        }
        refusal.map_or(Ok(usages), Err)
    }

    fn make_room(&mut self, now: Duration) {
        if self.0.len() < COUNTERS_MAX {
            return;
        }
        self.0.retain(|_, counter| counter.banned_until > now || counter.current_until > now);
        if self.0.len() >= COUNTERS_MAX {
            self.0.clear();
        }
    }
}

impl Counter {
    fn count(&mut self, charge: &Charge, now: Duration) -> Result<Usage, Refusal> {
        let limit = charge.limit;
        if now < self.banned_until {
            return Err(Refusal { status: limit.ban_status, wait: self.banned_until - now });
        }
        self.windows.resize(limit.windows.len(), (None, 0));
        let was_within = self.windows.iter().zip(limit.windows).all(|((_, used), window)| *used <= window.max);
        let mut wait = None;
        for ((begin, used), window) in self.windows.iter_mut().zip(limit.windows) {
            let start = window.start(*begin, now);
            if *begin != Some(start) {
                (*begin, *used) = (Some(start), 0);
                // A window that stayed within the limit clears the strikes.
                if was_within {
                    self.strikes = 0;
                }
            }
            *used += charge.weight;
            self.current_until = self.current_until.max(start + window.length);
            if *used > window.max {
                wait = wait.max(Some((start + window.length).saturating_sub(now)));
            }
        }
        let Some(wait) = wait else {
            let first = self.windows.first().zip(limit.windows.first());
            let (used, max) = first.map_or((0, 0), |((_, used), window)| (*used, window.max));
            return Ok(Usage { group: charge.group, used, max });
        };
        self.strikes += 1;
        if self.strikes > STRIKES_MAX {
            self.banned_until = now + limit.ban;
            self.strikes = 0;
            return Err(Refusal { status: limit.ban_status, wait: limit.ban });
        }
        Err(Refusal { status: TOO_MANY, wait })
    }
}
