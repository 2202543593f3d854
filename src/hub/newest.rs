//! The newest rows and the health of the venues, numbered by the sequence of their last change.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::api::{Basis, Lang, Market, Quote, Reason, SourceId, VenueHealth, VenueState};

/// Minimum time between two status messages that differ only in the figures of their reason.
const REASON_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// Selection of rows and their format. Equal views have equal snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowsView {
    /// The board, if one was requested.
    pub board: Option<Arc<str>>,
    /// The rows, in order.
    pub rows: Arc<[(SourceId, Market)]>,
    /// The basis of the changes.
    pub basis: Basis,
    /// The language of the texts, if they are requested.
    pub lang: Option<Lang>,
    /// Whether the prices are simulated.
    pub demo: bool,
    /// Requested markets that are unknown.
    pub missing: Arc<[String]>,
}

/// The newest row of every market and the health of every venue.
#[derive(Debug, Default)]
pub(super) struct Newest {
    /// Rises by one with each batch that changes something.
    pub sequence: u64,
    /// Rises by one with each batch.
    pub version: u64,
    pub as_of: Option<Timestamp>,
    /// Monotonic time of the last [`Hub::keep_alive`](super::Hub::keep_alive).
    pub kept_alive_at: Duration,
    /// Whether rows are marked as stale for lack of it.
    pub lapsed: bool,
    /// The sequence at which the boards last changed. A client with an earlier one may have rows that no longer exist.
    pub revised_at: u64,
    pub rows: HashMap<SourceId, HashMap<Market, RowEntry>>,
    pub venues: Vec<VenueReport>,
}

/// The newest row of one market.
#[derive(Debug, Clone)]
pub(super) struct RowEntry {
    pub quote: Arc<Quote>,
    /// The sequence of its last change.
    pub changed: u64,
}

/// Health of a venue, and what was last reported of it to subscribers.
#[derive(Debug)]
pub(super) struct VenueReport {
    pub health: VenueHealth,
    /// The last reported state, its start, and its reason.
    reported: Option<(VenueState, Timestamp, Option<Reason>)>,
    reported_at: Timestamp,
    /// The sequence of the last report.
    pub changed: u64,
}

/// Changes of a view since a sequence.
pub(super) struct Changes {
    pub sequence: u64,
    pub as_of: Option<Timestamp>,
    pub rows: Vec<(usize, RowEntry)>,
    /// Indices of the rows that do not exist, or no longer.
    pub absent: Vec<usize>,
    pub venues: Vec<(u64, VenueHealth)>,
}

impl RowsView {
    /// Returns a hash of the view.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

impl Newest {
    pub fn find(&self, source: &SourceId, market: &Market) -> Option<&RowEntry> {
        self.rows.get(source)?.get(market)
    }

    /// Returns the rows and venues of a view that changed after `since`.
    pub fn changes(&self, view: &RowsView, since: u64) -> Changes {
        let (mut rows, mut absent) = (Vec::new(), Vec::new());
        for (index, (source, market)) in view.rows.iter().enumerate() {
            match self.find(source, market) {
                Some(entry) if entry.changed > since => rows.push((index, entry.clone())),
                Some(_) => {}
                None => absent.push(index),
            }
        }
        Changes {
            sequence: self.sequence,
            as_of: self.as_of,
            rows,
            absent,
            venues: self
                .venues_of(view)
                .filter(|venue| venue.changed > since)
                .map(VenueReport::with_sequence)
                .collect(),
        }
    }

    /// Returns the venues that occur in the sources of a view.
    pub fn venues_of<'a>(&'a self, view: &'a RowsView) -> impl Iterator<Item = &'a VenueReport> {
        let feeds = |name: &str| view.rows.iter().any(|(source, _)| source.as_str().split(',').any(|id| id == name));
        self.venues.iter().filter(move |venue| feeds(venue.health.venue.as_str()))
    }

    /// Removes a row.
    pub fn remove(&mut self, source: &SourceId, market: &Market) {
        let Some(rows) = self.rows.get_mut(source) else { return };
        rows.remove(market);
        if rows.is_empty() {
            self.rows.remove(source);
        }
    }

    /// Marks all rows as stale for lack of [`Hub::keep_alive`](super::Hub::keep_alive).
    pub fn lapse(&mut self) {
        self.lapsed = true;
        let next = self.sequence + 1;
        for entry in self.rows.values_mut().flat_map(HashMap::values_mut) {
            if let Some(stale) = entry.quote.stale_copy() {
                *entry = RowEntry { quote: Arc::new(stale), changed: next };
                self.sequence = next;
            }
        }
        self.version += u64::from(self.sequence == next);
    }
}

impl VenueReport {
    pub fn new(health: VenueHealth, at: Timestamp) -> Self {
        Self { health, reported: None, reported_at: at, changed: 0 }
    }

    /// Returns whether the health must be reported: at once if the state or the reason code has changed, at
    /// intervals if only the message of the reason has.
    pub fn must_report(&self, at: Timestamp) -> bool {
        let Some((state, since, reason)) = &self.reported else { return true };
        let code = |reason: &Option<Reason>| reason.as_ref().map(|reason| reason.code);
        let health = &self.health;
        (*state, *since, code(reason)) != (health.state, health.since, code(&health.reason))
            || (*reason != health.reason && at.duration_since(self.reported_at).abs() >= REASON_INTERVAL)
    }

    /// Returns the health with the sequence of its last report.
    pub fn with_sequence(&self) -> (u64, VenueHealth) {
        (self.changed, self.health.clone())
    }

    pub fn mark_reported(&mut self, sequence: u64, at: Timestamp) {
        self.reported = Some((self.health.state, self.health.since, self.health.reason.clone()));
        self.reported_at = at;
        self.changed = sequence;
    }
}
