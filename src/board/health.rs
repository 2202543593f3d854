//! Health of a venue as published: the state of its links, from ingest, joined with how many of its prices the board believes.
//!
//! A link that works says nothing of the prices that come over it. So a venue
//! is `up` only while some price of it is believed, and every wanted market
//! without a price, a base or a change is named with the cause that is known best.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::Quotes;
use super::feed::{self, Feed};
use crate::domain::{
    Basis, Lacks, MISSING_MAX, Market, Missing, NoChange, Now, Problem, Reason, ReasonCode, State, VenueHealth,
    VenueId, VenueState,
};

/// The first prices of a venue may be awaited for so long without a word of it.
const FIRST_PRICES: Duration = Duration::from_secs(15);

/// A venue is logged at most this often.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// A member that can't be read in one of so many markets is a matter of the venue, not of the market.
const MANY: usize = 5;

/// Nothing but time has to pass.
const AWAITED: &str = NoChange::Awaited.as_str();

/// What was last told of a venue.
#[derive(Debug, Default)]
pub struct Told {
    pub(super) health: Option<VenueHealth>,
    /// Since when each market lacks what it lacks.
    lacking: BTreeMap<(Market, Lacks), Timestamp>,
    /// Whether a price was ever believed.
    believed: bool,
    logged: Option<(VenueState, Option<ReasonCode>)>,
    logged_at: Option<Duration>,
}

/// What the board finds of a venue's prices.
struct Findings {
    wanted: usize,
    /// Prices of now.
    live: usize,
    /// Prices of now, or of a market that is known not to trade.
    believed: usize,
    missing: Vec<Missing>,
    /// Those that the venue owes: the markets that it trades, and any other that a reader misses.
    owed: Vec<usize>,
    problems: Vec<Problem>,
}

impl Quotes {
    /// Returns what is to be told of a venue, if it has changed.
    pub(super) fn tell(&mut self, venue: VenueId, now: Now) -> Option<VenueHealth> {
        let mut health = self.health.get(&venue)?.clone();
        health.overruled = self.overruled.get(&venue).copied().unwrap_or(0);
        for ((_, code), count) in self.refused.iter().filter(|((v, _), _)| *v == venue) {
            *health.rejected.entry((*code).to_owned()).or_default() += count;
        }
        if let Some(problems) = self.problems.get_mut(&venue) {
            health.problems.extend(problems.list(now.wall));
        }
        let findings = self.find(&health, now);
        let started = self.started.monotonic;
        let told = self.told.entry(venue).or_default();
        told.believed |= findings.believed > 0;
        let waited = told.believed || now.monotonic.saturating_sub(started) >= FIRST_PRICES;
        let (state, reason) = findings.judge(&health, waited);
        health.markets_live = findings.live;
        let lacking = |what: Lacks| findings.missing.iter().filter(|missing| missing.lacks == what).count();
        (health.without_price, health.without_base) = (lacking(Lacks::Price), lacking(Lacks::Base));
        health.without_change = lacking(Lacks::Change);
        health.missing = findings.missing;
        let since = |missing: &Missing| ((missing.market.clone(), missing.lacks), missing.since);
        told.lacking = health.missing.iter().map(since).collect();
        health.missing.truncate(MISSING_MAX);

        if state != health.state {
            health.since = now.wall;
        }
        health.state = state;
        health.reason = reason;
        if let Some(before) = &told.health {
            if before.state == state {
                health.since = before.since;
            }
            if *before == health {
                return None;
            }
        }
        told.health = Some(health.clone());
        Some(health)
    }

    /// Returns the venues whose state or reason is another one than was logged, each at most once in a while.
    ///
    /// To be called about once a second.
    pub fn news(&mut self, now: Now) -> Vec<VenueHealth> {
        let due = self.told.values_mut().filter_map(|told| {
            let health = told.health.as_ref()?;
            let is = (health.state, health.reason.as_ref().map(|reason| reason.code));
            let soon = told.logged_at.is_some_and(|at| now.monotonic.saturating_sub(at) < LOG_EVERY);
            if told.logged == Some(is) || soon {
                return None;
            }
            told.logged = Some(is);
            told.logged_at = Some(now.monotonic);
            Some(health.clone())
        });
        due.collect()
    }

    fn find(&self, health: &VenueHealth, now: Now) -> Findings {
        let venue = health.venue;
        let stale_after = self.settings.stale_after(venue);
        let there = feed::there(self.clocks.get(&venue).copied(), now);
        let reported: BTreeMap<(&Market, Lacks), &Missing> =
            health.missing.iter().map(|missing| ((&missing.market, missing.lacks), missing)).collect();
        let told = self.told.get(&venue);
        let mut found = Findings {
            wanted: 0,
            live: 0,
            believed: 0,
            missing: Vec::new(),
            owed: Vec::new(),
            problems: health.problems.clone(),
        };
        let mut feeds: Vec<(&Market, &Feed)> =
            self.feeds.iter().filter(|((v, _), _)| *v == venue).map(|((_, market), feed)| (market, feed)).collect();
        feeds.sort_by_key(|(market, _)| *market);
        for (market, feed) in feeds {
            found.wanted += 1;
            let state = feed.state(stale_after, now);
            let live = matches!(state, State::Live | State::Delayed);
            found.live += usize::from(live);
            found.believed += usize::from(live || feed.is_halted_now(stale_after, now));
            let shown = |&index: &usize| {
                let quote = self.rows[index].published.as_ref().map(|published| &published.quote);
                quote.is_some_and(|quote| quote.venue == venue)
            };
            let is_shown = self.readers.get(&(venue, market.clone())).into_iter().flatten().any(shown);
            let (lacks, own) = if live {
                let bases = feed.bases(there);
                if let Some((basis, _)) = Basis::ALL.into_iter().zip(bases).find(|(_, base)| base.is_none()) {
                    (Lacks::Base, feed.explain_no_base(basis.base_time(there)))
                } else if let Some(why) = feed.why_no_change(bases, self.settings.percent_places) {
                    (Lacks::Change, Some(why))
                } else {
                    continue;
                }
            } else {
                (Lacks::Price, feed.why_no_price())
            };
            let link = health.reason.as_ref().filter(|_| lacks == Lacks::Price);
            let (code, detail) = match (own, reported.get(&(market, lacks)), link) {
                // What follows from the answers themselves says more than what became of the question.
                (Some((code, detail)), ..) => (code, detail),
                (None, Some(reported), _) => (reported.code, reported.detail.clone()),
                (None, None, Some(link)) => (link.code.as_str(), link.message.clone()),
                (None, None, None) if lacks == Lacks::Base => {
                    (AWAITED, "the close that its change is measured against was not told yet".to_owned())
                }
                (None, None, None) if !feed.is_confirmed_since_start() => (AWAITED, "no price has come yet".to_owned()),
                (None, None, None) => ("unconfirmed", "nothing has confirmed its last price in time".to_owned()),
            };
            if feed.halt_reason().is_none() || is_shown || self.is_nowhere(venue, market) {
                found.owed.push(found.missing.len());
            }
            let since = told.and_then(|told| told.lacking.get(&(market.clone(), lacks))).copied().unwrap_or(now.wall);
            found.missing.push(Missing { market: market.clone(), lacks, code, detail, since });
        }
        found
    }

    /// Whether some row that might take a market from a venue shows no price at all.
    fn is_nowhere(&self, venue: VenueId, market: &Market) -> bool {
        self.readers
            .get(&(venue, market.clone()))
            .into_iter()
            .flatten()
            .any(|&index| self.rows[index].published.as_ref().is_none_or(|published| published.quote.last.is_none()))
    }
}

impl Findings {
    /// Returns the state and the reason that follow.
    fn judge(&self, link: &VenueHealth, waited: bool) -> (VenueState, Option<Reason>) {
        let told = || link.reason.clone();
        if self.wanted == 0 {
            return (link.state, told());
        }
        if self.believed > 0 {
            let of_prices = || self.unreadable().or_else(|| link.list_reason.clone()).or_else(|| self.incomplete());
            return (link.state, told().or_else(of_prices));
        }
        let broken = told().filter(|reason| reason.code != ReasonCode::Silent);
        let cause =
            self.commonest().filter(|cause| broken.as_ref().is_none_or(|link| link.code.as_str() != cause.code));
        match (cause, broken) {
            // Records refused of late say more than the end of the connection that they led to.
            (cause, Some(link_down))
                if link.state == VenueState::Down && cause.and_then(|cause| self.latest(cause)).is_none() =>
            {
                (VenueState::Down, Some(link_down))
            }
            (Some(cause), _) => (VenueState::Down, Some(Reason::new(ReasonCode::Unbelieved, self.unbelieved(cause)))),
            (None, _) if waited => {
                let nothing = || {
                    let message = format!("no price of {} wanted markets has come in time", self.wanted);
                    Reason::new(ReasonCode::Unbelieved, message)
                };
                (VenueState::Down, Some(told().unwrap_or_else(nothing)))
            }
            (None, _) if link.state == VenueState::Down => (VenueState::Down, told()),
            (None, _) => (VenueState::Connecting, told()),
        }
    }

    /// The cause that most markets lack a price for, if it is more than waiting.
    fn commonest(&self) -> Option<&Missing> {
        let mut count: BTreeMap<&str, (usize, &Missing)> = BTreeMap::new();
        for missing in self.missing.iter().filter(|missing| missing.lacks == Lacks::Price && missing.code != AWAITED) {
            count.entry(missing.code).or_insert((0, missing)).0 += 1;
        }
        count.into_values().max_by_key(|(count, _)| *count).map(|(_, missing)| missing)
    }

    /// What was refused most for the same cause within the last minute.
    fn latest(&self, cause: &Missing) -> Option<&Problem> {
        let same = self.problems.iter().filter(|problem| problem.code == cause.code && problem.markets > 0);
        same.max_by_key(|problem| problem.markets)
    }

    fn unbelieved(&self, cause: &Missing) -> String {
        let wanted = self.wanted;
        match self.latest(cause) {
            Some(problem) => format!("no price of {wanted} wanted markets is believed: {}", described(problem)),
            None => {
                let like = self.missing.iter().filter(|missing| missing.code == cause.code).count();
                let Missing { market, code, detail, .. } = cause;
                format!(
                    "no price of {wanted} wanted markets is believed: {code} for {like}, such as {market}: {detail}"
                )
            }
        }
    }

    /// One member that can't be read in many markets.
    fn unreadable(&self) -> Option<Reason> {
        let many = |problem: &&Problem| {
            problem.field.is_some() && problem.markets > 1 && problem.markets * MANY >= self.wanted
        };
        let problem = self.problems.iter().filter(many).max_by_key(|problem| problem.markets)?;
        let markets = problem.markets;
        let message = format!("refused in {markets} of {} wanted markets: {}", self.wanted, described(problem));
        Some(Reason::new(ReasonCode::Unreadable, message))
    }

    fn incomplete(&self) -> Option<Reason> {
        let owed = || self.owed.iter().map(|&index| &self.missing[index]);
        let says = |lacks: Lacks, what: &str| {
            let count = owed().filter(|missing| missing.lacks == lacks).count();
            // One that waits is the weaker example.
            let mut of = owed().filter(|missing| missing.lacks == lacks);
            let example = of.clone().find(|missing| missing.code != AWAITED).or_else(|| of.next())?;
            let Missing { market, code, detail, .. } = example;
            Some(format!(
                "{count} of {} wanted markets without a {what}, such as {market} ({code}): {detail}",
                self.wanted
            ))
        };
        let parts = [says(Lacks::Price, "price"), says(Lacks::Base, "base"), says(Lacks::Change, "change")];
        let message = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
        (!message.is_empty()).then(|| Reason::new(ReasonCode::Incomplete, message))
    }
}

/// `trade_price: malformed, 12 times since the start, such as BTC-KRW: trade_price: malformed: "x"`.
fn described(problem: &Problem) -> String {
    let Problem { code, field, count, example, .. } = problem;
    let field = field.map_or_else(String::new, |field| format!("{field}: "));
    format!("{field}{code}, {count} times since the start, such as {example}")
}
