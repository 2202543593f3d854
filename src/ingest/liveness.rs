//! Who was heard from when, market by market, and whose stream has died.
//!
//! Pure: time is an argument. Heartbeats, pongs and acknowledgements never
//! come here, so nothing but a price can make a market look alive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::{Backoff, Settings};
use crate::domain::{Market, Price, Ticker};

/// Resubscriptions of one market in vain before its connection is given up.
pub const STRIKES_MAX: u32 = 3;

/// What tells one trade from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    traded_at: Option<Timestamp>,
    trade_id: Option<u64>,
    last: Price,
}

impl Seen {
    pub fn of(ticker: &Ticker) -> Self {
        Self { traded_at: ticker.traded_at, trade_id: ticker.trade_id, last: ticker.last }
    }

    /// Whether this is a trade after `other`, by the best mark that both have.
    pub fn later_than(&self, other: &Self) -> bool {
        match (self.trade_id.zip(other.trade_id), self.traded_at.zip(other.traded_at)) {
            (Some((mine, theirs)), _) => mine > theirs,
            (None, Some((mine, theirs))) => mine > theirs,
            (None, None) => self.last != other.last,
        }
    }
}

#[derive(Debug, Default)]
struct Line {
    slot: usize,
    /// Whether a connection was asked for it, delivering or not.
    subscribed: bool,
    heard: Option<Duration>,
    asked: Option<Duration>,
    /// It was refused, left out, unreadable or late: it is asked for alone, and not before this time.
    apart: Option<(Duration, Backoff)>,
    /// The newest trade that is known by any way.
    newest: Option<Seen>,
    /// The newest trade that the stream is known to have told of, or REST when the subscription began.
    reference: Option<Seen>,
    /// Since when there is one for the newest subscription.
    measured: Option<Duration>,
    /// A trade that REST told of and the stream did not, and since when we know.
    missed: Option<(Duration, Seen)>,
    struck: Option<Duration>,
    strikes: u32,
    dead: bool,
}

/// The lines of all wanted markets.
#[derive(Debug)]
pub struct Liveness {
    lines: BTreeMap<Market, Line>,
    /// Which slots deliver.
    up: Vec<bool>,
    /// When silent markets were last checked.
    checked: Option<Duration>,
    confirm_after: Duration,
    poll_every: Duration,
    lag_grace: Duration,
    first_message: Duration,
    apart: Backoff,
}

/// Markets to ask for now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Their stream is down.
    pub poll: Vec<Market>,
    /// Their stream is up and says nothing.
    pub check: Vec<Market>,
}

impl Line {
    fn note(&mut self, seen: Seen) {
        if self.newest.is_none_or(|newest| seen.later_than(&newest)) {
            self.newest = Some(seen);
        }
    }
}

impl Liveness {
    /// Starts with nothing heard; `slots` says which connection each market is on.
    pub fn new(slots: &[Vec<Market>], settings: &Settings) -> Self {
        let line = |slot| Line { slot, ..Line::default() };
        let lines = slots.iter().enumerate();
        Self {
            lines: lines.flat_map(|(slot, markets)| markets.iter().map(move |m| (m.clone(), line(slot)))).collect(),
            up: vec![false; slots.len()],
            checked: None,
            confirm_after: settings.confirm_after,
            poll_every: settings.poll_every,
            lag_grace: settings.lag_grace,
            first_message: settings.first_message,
            apart: Backoff::new(settings.poll_every, settings.backoff_max),
        }
    }

    /// A new connection was asked for `markets`: what the old one told is no measure for it.
    pub fn subscribed(&mut self, markets: &[Market]) {
        for market in markets {
            if let Some(line) = self.lines.get_mut(market) {
                line.subscribed = true;
                (line.reference, line.measured, line.missed) = (None, None, None);
            }
        }
    }

    /// A connection that was asked for `markets` before the one that has failed is in its place: what is known to have
    /// been told since it was asked stays the measure.
    pub fn taken_over(&mut self, markets: &[Market]) {
        for market in markets {
            if let Some(line) = self.lines.get_mut(market) {
                line.subscribed = true;
            }
        }
    }

    /// The stream told of a market.
    pub fn streamed(&mut self, market: &Market, ticker: &Ticker, now: Duration) {
        let Some(line) = self.lines.get_mut(market) else { return };
        let seen = Seen::of(ticker);
        line.note(seen);
        line.heard = Some(now);
        if line.missed.is_none_or(|(_, missed)| !missed.later_than(&seen)) {
            (line.missed, line.struck, line.strikes, line.dead) = (None, None, 0, false);
        }
        if line.reference.is_none_or(|reference| !reference.later_than(&seen)) {
            line.reference = Some(seen);
            line.measured.get_or_insert(now);
        }
    }

    /// REST told of a market.
    pub fn fetched(&mut self, market: &Market, ticker: &Ticker, now: Duration) {
        let Some(line) = self.lines.get_mut(market) else { return };
        let seen = Seen::of(ticker);
        line.note(seen);
        line.heard = Some(now);
        line.asked = Some(now);
        match line.reference {
            _ if !line.subscribed => {}
            None => (line.reference, line.measured) = (Some(seen), Some(now)),
            Some(reference) if seen.later_than(&reference) => {
                line.missed.get_or_insert((now, seen));
            }
            Some(_) => {}
        }
    }

    /// The newest trade of a market that is known.
    pub fn newest(&self, market: &Market) -> Option<Seen> {
        self.lines.get(market)?.newest
    }

    /// The slot's stream began or ceased to deliver.
    pub fn set_up(&mut self, slot: usize, up: bool) {
        self.up[slot] = up;
        for line in self.lines.values_mut().filter(|line| line.slot == slot) {
            line.subscribed = up;
            if !up {
                (line.missed, line.struck) = (None, None);
            }
        }
    }

    /// Whether every one of these slots delivers.
    pub fn all_up(&self, slots: &[usize]) -> bool {
        slots.iter().all(|&slot| self.up[slot])
    }

    /// Whether the stream tells of a market.
    pub fn is_streamed(&self, market: &Market) -> bool {
        self.lines.get(market).is_some_and(|line| self.up[line.slot] && !line.dead)
    }

    /// The venue did not answer for a market: it is asked for alone from now on, later each time.
    pub fn set_apart(&mut self, market: &Market, now: Duration) {
        let fresh = &self.apart;
        if let Some(line) = self.lines.get_mut(market) {
            let (until, backoff) = line.apart.get_or_insert_with(|| (now, fresh.clone()));
            *until = now + backoff.after_failure();
        }
    }

    /// The venue has answered for a market that was asked for alone.
    pub fn rejoin(&mut self, market: &Market) {
        if let Some(line) = self.lines.get_mut(market) {
            line.apart = None;
        }
    }

    /// Those of `markets` that are asked for together.
    pub fn together(&self, markets: &[Market]) -> Vec<Market> {
        let together = |market: &&Market| self.lines.get(*market).is_none_or(|line| line.apart.is_none());
        markets.iter().filter(together).cloned().collect()
    }

    /// The markets to ask for now one at a time, and whether their stream is down.
    pub fn due_apart(&self, listed: &BTreeSet<Market>, now: Duration) -> Vec<(Market, bool)> {
        let lines = self.lines.iter().filter(|(market, _)| listed.contains(*market));
        let due = lines.filter_map(|(market, line)| {
            let is_polled = line.dead || !self.up[line.slot];
            let unheard = line.heard.is_none_or(|at| now.saturating_sub(at) >= self.confirm_after);
            let (until, _) = line.apart.as_ref()?;
            (*until <= now && (is_polled || unheard)).then(|| (market.clone(), is_polled))
        });
        due.collect()
    }

    /// The markets to ask for now, among `listed`.
    ///
    /// When one is due, those that soon would be are asked for with it, so that
    /// a quiet night costs one call in `confirm_after` and not one a market.
    pub fn due(&mut self, listed: &BTreeSet<Market>, now: Duration) -> Due {
        let age = |since: Option<Duration>| since.map_or(Duration::MAX, |since| now.saturating_sub(since));
        let mut due = Due::default();
        let (mut poll_now, mut check_now) = (false, false);
        let asked_about = |(market, line): &(&Market, &Line)| listed.contains(*market) && line.apart.is_none();
        for (market, line) in self.lines.iter().filter(asked_about) {
            let unasked = age(line.asked);
            if line.dead || !self.up[line.slot] {
                if unasked >= self.poll_every / 2 {
                    due.poll.push(market.clone());
                    poll_now |= unasked >= self.poll_every;
                }
            } else {
                let unheard = age(line.heard).min(unasked);
                if unheard >= self.confirm_after / 2 {
                    due.check.push(market.clone());
                    check_now |= unheard >= self.confirm_after;
                }
            }
        }
        check_now &= age(self.checked) >= self.confirm_after;
        if check_now {
            self.checked = Some(now);
        } else {
            due.check.clear();
        }
        if !poll_now {
            due.poll.clear();
        }
        // Whoever was not answered for last time comes first, should an answer be cut short again.
        due.poll.sort_by_key(|market| self.lines.get(market).and_then(|line| line.heard));
        due
    }

    /// These were asked for, whatever comes of it.
    pub fn asked(&mut self, markets: &[Market], now: Duration) {
        for market in markets {
            if let Some(line) = self.lines.get_mut(market) {
                line.asked = Some(now);
            }
        }
    }

    /// The markets whose stream has missed a trade for longer than the grace, with their slot and
    /// how often that was found since the stream last told of them. Each is named once a `first_message`.
    pub fn strike(&mut self, now: Duration) -> Vec<(Market, usize, u32)> {
        let mut struck = Vec::new();
        for (market, line) in &mut self.lines {
            let overdue = line.missed.is_some_and(|(since, _)| now.saturating_sub(since) >= self.lag_grace);
            let again = line.struck.is_none_or(|at| now.saturating_sub(at) >= self.first_message);
            if overdue && again {
                line.strikes += 1;
                line.dead = true;
                line.struck = Some(now);
                struck.push((market.clone(), line.slot, line.strikes));
            }
        }
        struck
    }

    /// Whether these markets have been watched for missed trades for at least `age`. One of which nothing that can be used
    /// was told since the subscription keeps no other from it.
    pub fn is_measured(&self, markets: &[Market], age: Duration, now: Duration) -> bool {
        let lines = markets.iter().filter_map(|market| self.lines.get(market));
        let newest = lines.filter_map(|line| line.measured).max();
        newest.is_some_and(|since| now.saturating_sub(since) >= age)
    }

    /// The first of `markets` of which the stream has missed a trade.
    pub fn missed<'a>(&self, markets: &'a [Market]) -> Option<&'a Market> {
        markets.iter().find(|market| self.lines.get(*market).is_some_and(|line| line.missed.is_some()))
    }

    /// How many markets were heard from within `age`, by any way.
    pub fn heard_within(&self, age: Duration, now: Duration) -> usize {
        self.lines.values().filter(|line| line.heard.is_some_and(|at| now.saturating_sub(at) <= age)).count()
    }
}
