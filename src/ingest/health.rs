//! What `/api/v1/venues` and the operator are told of one venue, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::{Lacks, Market, Missing, Problems, Reason, VenueHealth, VenueId, VenueState};

/// Most kinds of rejections counted; the words are ours, so this is never reached.
const KINDS_MAX: usize = 64;

/// A kind of log line is written at most once in this time; the rest is counted.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The figures, and what they add up to.
#[derive(Debug)]
pub struct Health {
    now: VenueHealth,
    told: Option<VenueHealth>,
    /// Why the stream is not up.
    pub stream_reason: Option<Reason>,
    /// Why the last REST call failed.
    pub rest_reason: Option<Reason>,
    /// Since when REST calls fail.
    pub rest_failing_since: Option<Duration>,
    /// When REST last answered.
    pub rest_ok: Option<Duration>,
    logged: BTreeMap<(&'static str, &'static str), (Duration, u64)>,
    problems: Problems,
    missing: BTreeMap<(Market, Lacks), Missing>,
}

/// What the state follows from.
#[derive(Debug, Clone, Copy)]
pub struct Links {
    /// Every connection delivers.
    pub streaming: bool,
    /// Some connection delivers.
    pub partly: bool,
    /// REST answered lately.
    pub polling: bool,
    /// Streaming has not failed yet.
    pub starting: bool,
}

impl Links {
    fn state(self) -> VenueState {
        match self {
            Self { streaming: true, .. } => VenueState::Up,
            Self { starting: true, .. } => VenueState::Connecting,
            Self { polling: true, .. } | Self { partly: true, .. } => VenueState::Delayed,
            _ => VenueState::Down,
        }
    }
}

impl Health {
    pub fn new(venue: VenueId, wanted: usize, at: Timestamp) -> Self {
        let now = VenueHealth::new(venue, wanted, at);
        let (told, stream_reason, rest_reason) = (None, None, None);
        Self {
            now,
            told,
            stream_reason,
            rest_reason,
            rest_failing_since: None,
            rest_ok: None,
            logged: BTreeMap::new(),
            problems: Problems::default(),
            missing: BTreeMap::new(),
        }
    }

    pub fn figures(&mut self) -> &mut VenueHealth {
        &mut self.now
    }

    /// Counts something refused, under a stable word.
    pub fn count(&mut self, what: &str, times: u64) {
        let rejected = &mut self.now.rejected;
        if rejected.contains_key(what) || rejected.len() < KINDS_MAX {
            *rejected.entry(what.to_owned()).or_default() += times;
        }
    }

    /// Counts something refused with its field and an example.
    pub fn refuse(
        &mut self,
        (what, field): (&'static str, Option<&'static str>),
        market: Option<&Market>,
        text: impl FnOnce() -> String,
        at: Timestamp,
    ) {
        self.count(what, 1);
        self.problems.add((what, field), market, text, at);
    }

    /// Notes why a market lacks something; it stands until [`Self::has`] takes it back. Returns whether that is news.
    pub fn lacks(
        &mut self,
        market: &Market,
        lacks: Lacks,
        (code, detail): (&'static str, String),
        at: Timestamp,
    ) -> bool {
        let key = (market.clone(), lacks);
        let known = self.missing.get(&key);
        let (since, news) = known.map_or((at, true), |known| (known.since, known.code != code));
        self.missing.insert(key, Missing { market: market.clone(), lacks, code, detail, since });
        news
    }

    /// Notes that a market has it again; returns since when it lacked it.
    pub fn has(&mut self, market: &Market, what: Lacks) -> Option<Timestamp> {
        if self.missing.is_empty() {
            return None;
        }
        self.missing.remove(&(market.clone(), what)).map(|missing| missing.since)
    }

    /// Whether a line of this kind (its cause and what it says) may be logged now, and how many were suppressed since the last one, if any.
    pub fn may_log(&mut self, kind: (&'static str, &'static str), now: Duration) -> Option<Option<u64>> {
        match self.logged.get_mut(&kind) {
            Some((at, suppressed)) if now.saturating_sub(*at) < LOG_EVERY => {
                *suppressed += 1;
                None
            }
            _ => Some(self.logged.insert(kind, (now, 0)).map(|(_, suppressed)| suppressed).filter(|count| *count > 0)),
        }
    }

    /// Adds it all up; returns what to publish if the state or its reason changed, or,
    /// once in a while (`figures`), if any figure did.
    pub fn tell(&mut self, links: Links, at: Timestamp, figures: bool) -> Option<VenueHealth> {
        let state = links.state();
        self.now.problems = self.problems.list(at);
        self.now.stream_failed.clone_from(&self.stream_reason);
        self.now.missing = self.missing.values().cloned().collect();
        if state != self.now.state {
            self.now.since = at;
            self.now.state = state;
        }
        self.now.reason = match state {
            VenueState::Up => None,
            VenueState::Down => self.rest_reason.clone().or_else(|| self.stream_reason.clone()),
            _ => self.stream_reason.clone().or_else(|| self.rest_reason.clone()),
        };
        let code = |health: &VenueHealth| health.reason.as_ref().map(|reason| reason.code);
        let changed =
            self.told.as_ref().is_none_or(|told| told.state != self.now.state || code(told) != code(&self.now));
        // A ban is to be known to all before it can be forgotten.
        let held = |health: &VenueHealth| (health.not_before.is_some(), health.stream_not_before.is_some());
        let banned = self.told.as_ref().is_some_and(|told| held(told) != held(&self.now));
        let moved = figures && self.told.as_ref() != Some(&self.now);
        if !changed && !banned && !moved {
            return None;
        }
        self.told = Some(self.now.clone());
        Some(self.now.clone())
    }
}
