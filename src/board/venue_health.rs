//! The published health of a venue: the state of its connections, from ingest, combined with the state of its
//! prices on the board.
//!
//! A working connection does not prove that its prices are usable. So a venue is `up` only while at least one
//! of its prices is accepted, and every wanted market without a price, a base or a change is listed with the
//! most specific cause that is known.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;

use super::board_settings::BoardSettings;
use super::feed::{self, Feed};
use super::row::Row;
use crate::feed::{
    MISSING_MAX, Missing, MissingPart, Problem, Reason, ReasonCode, UNKNOWN_NAME, VenueHealth, VenueState,
};
use crate::market::{Basis, Market, Minute, NoChange, Now, State, VenueClock, VenueId};

/// How long the first price of a venue may take before the venue counts as down.
const FIRST_PRICE_TIMEOUT: Duration = Duration::from_secs(15);

/// Minimum time between two log lines about a venue.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A field that can't be parsed in at least one in this many wanted markets, and in at least two markets, is a problem
/// of the venue, not of single markets.
const WIDESPREAD_DIVISOR: usize = 5;

/// The code of a market that only needs more time.
const AWAITED: &str = NoChange::Awaited.as_str();

/// What was last published and logged about the health of a venue.
#[derive(Debug, Default)]
pub struct HealthPublication {
    pub(super) health: Option<VenueHealth>,
    /// Since when each market has been missing what it is missing.
    missing_since: BTreeMap<(Market, MissingPart), Timestamp>,
    /// Whether a price was ever accepted.
    accepted: bool,
    /// Since when the first price has been awaited, by the monotonic clock.
    awaited_since: Duration,
    logged: Option<(VenueState, Option<ReasonCode>)>,
    logged_at: Option<Duration>,
}

/// What the board knows about the prices of a venue.
struct Findings {
    wanted: usize,
    /// Number of live prices.
    live: usize,
    /// Number of live prices, and of markets that are known not to trade.
    accepted: usize,
    missing: Vec<Missing>,
    /// Indices into `missing` of the markets that the venue should provide: those that are not halted, those that a
    /// row takes from this venue, and those for which some row has no price at all.
    expected: Vec<usize>,
    problems: Vec<Problem>,
}

/// What the health of a venue is computed from.
pub struct HealthContext<'a> {
    pub feeds: &'a HashMap<(VenueId, Market), Feed>,
    pub rows: &'a [Row],
    /// The rows that read each feed.
    pub rows_by_feed: &'a HashMap<(VenueId, Market), Vec<usize>>,
    /// The venues' clocks, as far as known.
    pub clocks: &'a BTreeMap<VenueId, VenueClock>,
    pub settings: &'a BoardSettings,
    pub now: Now,
}

impl HealthContext<'_> {
    /// Returns the rows that could use this market of the venue.
    fn rows_of(&self, venue: VenueId, market: &Market) -> impl Iterator<Item = &Row> {
        self.rows_by_feed.get(&(venue, market.clone())).into_iter().flatten().map(|&index| &self.rows[index])
    }

    /// Returns why the base at `time` can't be requested, if the venue has dropped the candles of that time.
    fn explain_dropped_minutes(
        &self,
        venue: VenueId,
        time: Timestamp,
        venue_now: Timestamp,
    ) -> Option<(&'static str, String)> {
        let kept = *self.settings.minutes_kept.get(&venue)?;
        let is_dropped = Minute::of(time) <= Minute::of(venue_now).plus(-kept);
        let detail =
            || format!("the exchange has candles of the last {kept} minutes only, and no price of {time} was recorded");
        is_dropped.then(|| (AWAITED, detail()))
    }
}

impl HealthPublication {
    /// Starts to wait for a first price: none of the venue's markets was wanted before.
    pub fn await_first_price(&mut self, now: Now) {
        (self.accepted, self.awaited_since) = (false, now.monotonic);
    }

    /// Combines the health that ingest reports with the state of the prices; returns it for publication, if it has
    /// changed.
    pub fn report(&mut self, mut health: VenueHealth, context: &HealthContext<'_>) -> Option<VenueHealth> {
        let now = context.now;
        let findings = Findings::collect(&health, &self.missing_since, context);
        self.accepted |= findings.accepted > 0;
        let waited = self.accepted || now.monotonic.saturating_sub(self.awaited_since) >= FIRST_PRICE_TIMEOUT;
        let (state, reason) = findings.evaluate(&health, waited);
        health.markets_live = findings.live;
        let count_missing = |what: MissingPart| findings.missing.iter().filter(|missing| missing.lacks == what).count();
        (health.without_price, health.without_base) =
            (count_missing(MissingPart::Price), count_missing(MissingPart::Base));
        health.without_change = count_missing(MissingPart::Change);
        health.missing = findings.missing;
        let since = |missing: &Missing| ((missing.market.clone(), missing.lacks), missing.since);
        self.missing_since = health.missing.iter().map(since).collect();
        health.missing.truncate(MISSING_MAX);

        if state != health.state {
            health.since = now.wall;
        }
        health.state = state;
        health.reason = reason;
        if let Some(before) = &self.health {
            if before.state == state {
                health.since = before.since;
            }
            if *before == health {
                return None;
            }
        }
        self.health = Some(health.clone());
        Some(health)
    }

    /// Returns the health if its state or reason differs from what was last logged, at most once per
    /// `LOG_INTERVAL`.
    pub fn take_to_log(&mut self, now: Now) -> Option<VenueHealth> {
        let health = self.health.as_ref()?;
        let current = (health.state, health.reason.as_ref().map(|reason| reason.code));
        let too_soon = self.logged_at.is_some_and(|at| now.monotonic.saturating_sub(at) < LOG_INTERVAL);
        if self.logged == Some(current) || too_soon {
            return None;
        }
        self.logged = Some(current);
        self.logged_at = Some(now.monotonic);
        Some(health.clone())
    }
}

impl Findings {
    /// Collects what the board knows about the prices of a venue; `missing_since` is since when its markets have been
    /// missing what they are missing.
    fn collect(
        health: &VenueHealth,
        missing_since: &BTreeMap<(Market, MissingPart), Timestamp>,
        context: &HealthContext<'_>,
    ) -> Self {
        let (venue, now) = (health.venue, context.now);
        let stale_after = context.settings.stale_after(venue);
        let venue_now = feed::venue_now(context.clocks.get(&venue).copied(), now);
        let reported: BTreeMap<(&Market, MissingPart), &Missing> =
            health.missing.iter().map(|missing| ((&missing.market, missing.lacks), missing)).collect();
        let mut findings = Self {
            wanted: 0,
            live: 0,
            accepted: 0,
            missing: Vec::new(),
            expected: Vec::new(),
            problems: health.problems.clone(),
        };
        let mut feeds: Vec<(&Market, &Feed)> =
            context.feeds.iter().filter(|((v, _), _)| *v == venue).map(|((_, market), feed)| (market, feed)).collect();
        feeds.sort_by_key(|(market, _)| *market);
        for (market, feed) in feeds {
            findings.wanted += 1;
            let state = feed.state(stale_after, now);
            let live = matches!(state, State::Live | State::Delayed);
            findings.live += usize::from(live);
            findings.accepted += usize::from(live || feed.is_halted_now(stale_after, now));
            let quotes =
                || context.rows_of(venue, market).map(|row| row.published.as_ref().map(|published| &published.quote));
            let is_shown = quotes().flatten().any(|quote| quote.venue == venue);
            // Some row that could use this market of the venue shows no price at all.
            let is_lacking = || quotes().any(|quote| quote.is_none_or(|quote| quote.last.is_none()));
            let (lacks, own) = if live {
                let bases = feed.bases(venue_now);
                if let Some((basis, _)) = Basis::ALL.into_iter().zip(bases).find(|(_, base)| base.is_none()) {
                    let time = basis.base_time(venue_now);
                    let own = feed.explain_no_base(time);
                    (MissingPart::Base, own.or_else(|| context.explain_dropped_minutes(venue, time, venue_now)))
                } else if let Some(why) = feed.why_no_change(bases, context.settings.percent_places) {
                    (MissingPart::Change, Some(why))
                } else {
                    continue;
                }
            } else {
                (MissingPart::Price, feed.why_no_price())
            };
            let connection_reason = health.reason.as_ref().filter(|_| lacks == MissingPart::Price);
            let (code, detail) = match (own, reported.get(&(market, lacks)), connection_reason) {
                (_, Some(reported), _) if reported.code == UNKNOWN_NAME => (reported.code, reported.detail.clone()),
                // What follows from the venue's data is more specific than the failure of a request.
                (Some((code, detail)), ..) => (code, detail),
                (None, Some(reported), _) => (reported.code, reported.detail.clone()),
                (None, None, Some(reason)) => (reason.code.as_str(), reason.message.clone()),
                (None, None, None) if lacks == MissingPart::Base => {
                    (AWAITED, "the base of its change is not known yet".to_owned())
                }
                (None, None, None) if !feed.is_confirmed_since_start() => (AWAITED, "no price received yet".to_owned()),
                (None, None, None) => ("unconfirmed", "its last price was not confirmed in time".to_owned()),
            };
            if feed.halt_reason().is_none() || is_shown || is_lacking() {
                findings.expected.push(findings.missing.len());
            }
            let since = missing_since.get(&(market.clone(), lacks)).copied().unwrap_or(now.wall);
            findings.missing.push(Missing { market: market.clone(), lacks, code, detail, since });
        }
        findings
    }

    /// Returns the state and reason that result from `ingest`, the health of the connections, and these findings.
    /// `waited` is whether the venue has had enough time for its first price.
    fn evaluate(&self, ingest: &VenueHealth, waited: bool) -> (VenueState, Option<Reason>) {
        let connection_reason = || ingest.reason.clone();
        if self.wanted == 0 {
            return (ingest.state, connection_reason());
        }
        if self.accepted > 0 {
            let price_reason =
                || self.unreadable_reason().or_else(|| ingest.list_reason.clone()).or_else(|| self.incomplete_reason());
            return (ingest.state, connection_reason().or_else(price_reason));
        }
        let broken = connection_reason().filter(|reason| reason.code != ReasonCode::Silent);
        let cause = self
            .most_common_cause()
            .filter(|cause| broken.as_ref().is_none_or(|reason| reason.code.as_str() != cause.code));
        match (cause, broken) {
            // Recently rejected records say more than the end of the connection that they caused.
            (cause, Some(connection_down))
                if ingest.state == VenueState::Down && cause.and_then(|cause| self.recent_problem(cause)).is_none() =>
            {
                (VenueState::Down, Some(connection_down))
            }
            (Some(cause), _) => {
                (VenueState::Down, Some(Reason::new(ReasonCode::Unbelieved, self.unbelieved_message(cause))))
            }
            (None, _) if waited => {
                let no_price = || {
                    let message = format!("no price of {} wanted markets was received in time", self.wanted);
                    Reason::new(ReasonCode::Unbelieved, message)
                };
                (VenueState::Down, Some(connection_reason().unwrap_or_else(no_price)))
            }
            (None, _) if ingest.state == VenueState::Down => (VenueState::Down, connection_reason()),
            (None, _) => (VenueState::Connecting, connection_reason()),
        }
    }

    /// Returns the cause for which most markets lack a price, unless they are only waiting.
    fn most_common_cause(&self) -> Option<&Missing> {
        let mut count: BTreeMap<&str, (usize, &Missing)> = BTreeMap::new();
        for missing in
            self.missing.iter().filter(|missing| missing.lacks == MissingPart::Price && missing.code != AWAITED)
        {
            count.entry(missing.code).or_insert((0, missing)).0 += 1;
        }
        count.into_values().max_by_key(|(count, _)| *count).map(|(_, missing)| missing)
    }

    /// Returns the most widespread problem of the last minute with the same cause.
    fn recent_problem(&self, cause: &Missing) -> Option<&Problem> {
        let same = self.problems.iter().filter(|problem| problem.code == cause.code && problem.markets > 0);
        same.max_by_key(|problem| problem.markets)
    }

    fn unbelieved_message(&self, cause: &Missing) -> String {
        let wanted = self.wanted;
        match self.recent_problem(cause) {
            Some(problem) => format!("no price of {wanted} wanted markets is usable: {}", describe(problem)),
            None => {
                let affected = self.missing.iter().filter(|missing| missing.code == cause.code).count();
                let Missing { market, code, detail, .. } = cause;
                format!(
                    "no price of {wanted} wanted markets is usable: {code} in {affected}, such as {market}: {detail}"
                )
            }
        }
    }

    /// Returns the reason, if one field can't be parsed in many markets.
    fn unreadable_reason(&self) -> Option<Reason> {
        let many = |problem: &&Problem| {
            problem.field.is_some() && problem.markets > 1 && problem.markets * WIDESPREAD_DIVISOR >= self.wanted
        };
        let problem = self.problems.iter().filter(many).max_by_key(|problem| problem.markets)?;
        let markets = problem.markets;
        let message = format!("rejected in {markets} of {} wanted markets: {}", self.wanted, describe(problem));
        Some(Reason::new(ReasonCode::Unreadable, message))
    }

    fn incomplete_reason(&self) -> Option<Reason> {
        let expected = || self.expected.iter().map(|&index| &self.missing[index]);
        let describe_missing = |lacks: MissingPart, what: &str| {
            let count = expected().filter(|missing| missing.lacks == lacks).count();
            // Prefer an example that is not just waiting.
            let mut of = expected().filter(|missing| missing.lacks == lacks);
            let example = of.clone().find(|missing| missing.code != AWAITED).or_else(|| of.next())?;
            let Missing { market, code, detail, .. } = example;
            Some(format!(
                "{count} of {} wanted markets without a {what}, such as {market} ({code}): {detail}",
                self.wanted
            ))
        };
        let parts = [
            describe_missing(MissingPart::Price, "price"),
            describe_missing(MissingPart::Base, "base"),
            describe_missing(MissingPart::Change, "change"),
        ];
        let message = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
        (!message.is_empty()).then(|| Reason::new(ReasonCode::Incomplete, message))
    }
}

/// Formats a problem:
/// `trade_price: malformed, 12 times since the start, such as BTC-KRW: trade_price: malformed: "x"`.
fn describe(problem: &Problem) -> String {
    let Problem { code, field, count, example, .. } = problem;
    let field = field.map_or_else(String::new, |field| format!("{field}: "));
    format!("{field}{code}, {count} times since the start, such as {example}")
}
