//! Health of one venue, as published at `/api/v1/venues` and in the log, and when to publish it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::feed::{Missing, MissingPart, Problems, Reason, VenueHealth, VenueState};
use crate::market::{Market, VenueId};

/// Maximum number of rejection codes counted; the codes are our own, so this is never reached.
const KINDS_MAX: usize = 64;

/// A kind of log line is written at most once per this interval; the others are counted as suppressed.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Health of one venue, and what its state is derived from.
#[derive(Debug)]
pub struct Health {
    current: VenueHealth,
    published: Option<VenueHealth>,
    /// Why the stream is not up.
    pub stream_failure: Option<Reason>,
    /// Why the last REST call failed.
    pub rest_failure: Option<Reason>,
    /// Since when REST calls have failed.
    pub rest_failing_since: Option<Duration>,
    /// When a REST call last succeeded.
    pub rest_succeeded_at: Option<Duration>,
    logged: BTreeMap<(&'static str, &'static str), (Duration, u64)>,
    problems: Problems,
    missing: BTreeMap<(Market, MissingPart), Missing>,
}

/// What the state is derived from.
#[derive(Debug, Clone, Copy)]
pub struct Connectivity {
    /// Every connection delivers.
    pub streaming: bool,
    /// Some connection delivers.
    pub partly_streaming: bool,
    /// A REST call succeeded recently.
    pub polling: bool,
    /// Streaming has not failed yet.
    pub starting: bool,
}

impl Connectivity {
    fn state(self) -> VenueState {
        match self {
            Self { streaming: true, .. } => VenueState::Up,
            Self { starting: true, .. } => VenueState::Connecting,
            Self { polling: true, .. } | Self { partly_streaming: true, .. } => VenueState::Delayed,
            _ => VenueState::Down,
        }
    }
}

impl Health {
    pub fn new(venue: VenueId, wanted: usize, at: Timestamp) -> Self {
        let current = VenueHealth::new(venue, wanted, at);
        Self {
            current,
            published: None,
            stream_failure: None,
            rest_failure: None,
            rest_failing_since: None,
            rest_succeeded_at: None,
            logged: BTreeMap::new(),
            problems: Problems::default(),
            missing: BTreeMap::new(),
        }
    }

    pub fn current(&mut self) -> &mut VenueHealth {
        &mut self.current
    }

    /// Counts rejections under a stable code.
    pub fn count(&mut self, what: &str, times: u64) {
        let rejected = &mut self.current.rejected;
        if rejected.contains_key(what) || rejected.len() < KINDS_MAX {
            *rejected.entry(what.to_owned()).or_default() += times;
        }
    }

    /// Counts a rejection, and keeps its field and an example.
    pub fn reject(
        &mut self,
        (what, field): (&'static str, Option<&'static str>),
        market: Option<&Market>,
        text: impl FnOnce() -> String,
        at: Timestamp,
    ) {
        self.count(what, 1);
        self.problems.add((what, field), market, text, at);
    }

    /// Records why a market lacks something, until [`Self::clear_missing`] clears it. Returns whether the cause is new.
    pub fn set_missing(
        &mut self,
        market: &Market,
        lacks: MissingPart,
        (code, detail): (&'static str, String),
        at: Timestamp,
    ) -> bool {
        let key = (market.clone(), lacks);
        let known = self.missing.get(&key);
        let (since, is_new) = known.map_or((at, true), |known| (known.since, known.code != code));
        self.missing.insert(key, Missing { market: market.clone(), lacks, code, detail, since });
        is_new
    }

    /// Clears what [`Self::set_missing`] recorded; returns since when it was missing.
    pub fn clear_missing(&mut self, market: &Market, what: MissingPart) -> Option<Timestamp> {
        if self.missing.is_empty() {
            return None;
        }
        self.missing.remove(&(market.clone(), what)).map(|missing| missing.since)
    }

    /// Forgets what was recorded about markets that are not wanted any more.
    pub fn retain_wanted(&mut self, wanted: &BTreeSet<Market>) {
        self.current.markets_wanted = wanted.len();
        self.missing.retain(|(market, _), _| wanted.contains(market));
        self.problems.retain_markets(wanted);
    }

    /// Forgets why reading from the venue failed.
    pub fn forget_failures(&mut self) {
        (self.stream_failure, self.rest_failure, self.rest_failing_since) = (None, None, None);
        (self.current.list_reason, self.current.list_failed) = (None, None);
    }

    /// Returns whether a line of this kind (cause and message) may be logged now: `Some` with the number of lines
    /// suppressed since the last one, if any.
    pub fn may_log(&mut self, kind: (&'static str, &'static str), now: Duration) -> Option<Option<u64>> {
        match self.logged.get_mut(&kind) {
            Some((at, suppressed)) if now.saturating_sub(*at) < LOG_INTERVAL => {
                *suppressed += 1;
                None
            }
            _ => Some(self.logged.insert(kind, (now, 0)).map(|(_, suppressed)| suppressed).filter(|count| *count > 0)),
        }
    }

    /// Derives the state; returns the health to publish if the state or its reason changed or, with `figures`, if
    /// anything else did.
    pub fn take_update(&mut self, connectivity: Connectivity, at: Timestamp, figures: bool) -> Option<VenueHealth> {
        let state = connectivity.state();
        self.current.problems = self.problems.list(at);
        self.current.stream_failed.clone_from(&self.stream_failure);
        self.current.missing = self.missing.values().cloned().collect();
        if state != self.current.state {
            self.current.since = at;
            self.current.state = state;
        }
        self.current.reason = match state {
            VenueState::Up => None,
            VenueState::Down => self.rest_failure.clone().or_else(|| self.stream_failure.clone()),
            _ => self.stream_failure.clone().or_else(|| self.rest_failure.clone()),
        };
        let code = |health: &VenueHealth| health.reason.as_ref().map(|reason| reason.code);
        let changed = self
            .published
            .as_ref()
            .is_none_or(|last| last.state != self.current.state || code(last) != code(&self.current));
        // A ban is published at once, so that it is stored even if the process ends soon.
        let cooldowns = |health: &VenueHealth| (health.not_before.is_some(), health.stream_not_before.is_some());
        let cooldown_changed = self.published.as_ref().is_some_and(|last| cooldowns(last) != cooldowns(&self.current));
        let figures_changed = figures && self.published.as_ref() != Some(&self.current);
        if !changed && !cooldown_changed && !figures_changed {
            return None;
        }
        self.published = Some(self.current.clone());
        Some(self.current.clone())
    }
}
