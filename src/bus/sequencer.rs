//! Assigns epoch and sequence to the updates of a market.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::feed::{BoardUpdate, Reason, VenueHealth, VenueState};
use crate::market::VenueId;

/// Minimum time between two reports of a venue's health that differ only in the figures of their reason.
const REASON_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// The sequence of an update, and which health it reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequenced {
    /// Rises by one with each update that subscribers must get.
    pub sequence: u64,
    /// The venues whose health subscribers must get.
    pub reported_venues: Vec<VenueId>,
}

/// Numbers the updates of one market.
#[derive(Debug)]
pub struct Sequencer {
    epoch: String,
    sequence: u64,
    reports: BTreeMap<VenueId, Report>,
}

/// The newest health of a venue and the last one that subscribers got.
#[derive(Debug)]
struct Report {
    newest: Reported,
    last: Option<Reported>,
    last_at: Timestamp,
}

/// What subscribers get of a venue's health: its state, since when it is in it, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reported {
    state: VenueState,
    since: Timestamp,
    reason: Option<Reason>,
}

impl Sequencer {
    /// Starts at sequence 0; `epoch` must differ from that of every other sequencer.
    pub fn new(epoch: String) -> Self {
        Self { epoch, sequence: 0, reports: BTreeMap::new() }
    }

    /// Returns the epoch, within which the sequence never decreases.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Numbers the next update.
    pub fn next(&mut self, update: &BoardUpdate) -> Sequenced {
        let at = update.at;
        for health in &update.venues {
            let newest = Reported::of(health);
            self.reports.entry(health.venue).and_modify(|report| report.newest = newest.clone()).or_insert(Report {
                newest,
                last: None,
                last_at: at,
            });
        }
        let due = self.reports.iter_mut().filter(|(_, report)| report.is_due(at));
        let reported_venues: Vec<VenueId> = due
            .map(|(venue, report)| {
                (report.last, report.last_at) = (Some(report.newest.clone()), at);
                *venue
            })
            .collect();
        let BoardUpdate { changed, is_complete, is_revision, .. } = update;
        self.sequence += u64::from(!changed.is_empty() || !reported_venues.is_empty() || *is_complete || *is_revision);
        Sequenced { sequence: self.sequence, reported_venues }
    }
}

impl Report {
    /// Returns whether subscribers must get the newest health: at once if the state or the reason's code has changed, at
    /// intervals if only its message has.
    fn is_due(&self, at: Timestamp) -> bool {
        let Some(last) = &self.last else { return true };
        let code = |reported: &Reported| reported.reason.as_ref().map(|reason| reason.code);
        let key = |reported: &Reported| (reported.state, reported.since, code(reported));
        key(last) != key(&self.newest)
            || (*last != self.newest && at.duration_since(self.last_at).abs() >= REASON_INTERVAL)
    }
}

impl Reported {
    fn of(health: &VenueHealth) -> Self {
        Self { state: health.state, since: health.since, reason: health.reason.clone() }
    }
}
