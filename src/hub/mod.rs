//! Newest rows of every market, and groups of subscribers that get the same bytes.
//!
//! ```text
//!             publish            one task per group              newest only
//!  board ──────────────▶ newest ────────────────▶ frame, encoded ─────────────▶ members
//!                          │  rows, sequence        once, shared    callback per thread, or watch per task
//!                          └──▶ snapshot, encoded once per change
//! ```
//!
//! There is no queue: a frame replaces the one before it, and a member that missed frames gets the newest rows
//! changed since. The hub has no HTTP and does no arithmetic: to it, a row is a key, the sequence of its last
//! change, and a way to encode it.

mod group;
mod snapshot;
mod subscription;
mod update;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::task::TaskTracker;

use crate::api::{Basis, BoardUpdate, Lang, Market, Quote, Reason, SourceId, VenueHealth, VenueState};
use crate::clock::Clock;

use group::{Group, GroupKey};

pub use group::{GroupPermit, HEARTBEAT};
pub use snapshot::Snapshot;
pub use subscription::{Member, Resume, Subscription};
pub use update::{EncodedUpdate, InitialState};

/// Time after the last [`Hub::keep_alive`] from which rows count as stale: the process was stopped, or the machine
/// slept.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(5);

/// Minimum time between two status messages that differ only in the figures of their reason.
const REASON_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// Newest rows and the groups of their subscribers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    epoch: String,
    /// Clock of the keep-alive check; without one, rows are never marked as stale here.
    clock: Option<Clock>,
    newest: Mutex<Newest>,
    snapshots: Mutex<HashMap<RowsView, (u64, snapshot::Cell)>>,
    frames_encoded: AtomicU64,
    snapshots_encoded: AtomicU64,
    wakes: AtomicU64,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Newest {
    /// Rises by one with each batch that changes something.
    sequence: u64,
    /// Rises by one with each batch.
    version: u64,
    as_of: Option<Timestamp>,
    /// Monotonic time of the last [`Hub::keep_alive`].
    kept_alive_at: Duration,
    /// Whether rows are marked as stale for lack of it.
    lapsed: bool,
    rows: HashMap<SourceId, HashMap<Market, RowEntry>>,
    venues: Vec<VenueReport>,
    /// The groups, each with the number of its members.
    groups: HashMap<GroupKey, (Arc<Group>, usize)>,
    /// The groups that show a market, by address of the group; only these are woken when it changes.
    shown_by: HashMap<(SourceId, Market), HashMap<usize, Arc<Group>>>,
}

/// The newest row of one market.
#[derive(Debug, Clone)]
struct RowEntry {
    quote: Arc<Quote>,
    /// The sequence of its last change.
    changed: u64,
}

/// Health of a venue, and what was last reported of it to subscribers.
#[derive(Debug)]
struct VenueReport {
    health: VenueHealth,
    /// The last reported state, its start, and its reason.
    reported: Option<(VenueState, Timestamp, Option<Reason>)>,
    reported_at: Timestamp,
    /// The sequence of the last report.
    changed: u64,
}

impl VenueReport {
    /// Returns whether the health must be reported: at once if the state or the reason code has changed, at
    /// intervals if only the message of the reason has.
    fn must_report(&self, at: Timestamp) -> bool {
        let Some((state, since, reason)) = &self.reported else { return true };
        let code = |reason: &Option<Reason>| reason.as_ref().map(|reason| reason.code);
        let health = &self.health;
        (*state, *since, code(reason)) != (health.state, health.since, code(&health.reason))
            || (*reason != health.reason && at.duration_since(self.reported_at).abs() >= REASON_INTERVAL)
    }

    /// Returns the health with the sequence of its last report.
    fn with_sequence(&self) -> (u64, VenueHealth) {
        (self.changed, self.health.clone())
    }

    fn mark_reported(&mut self, sequence: u64, at: Timestamp) {
        self.reported = Some((self.health.state, self.health.since, self.health.reason.clone()));
        self.reported_at = at;
        self.changed = sequence;
    }
}

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

/// Counters of the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubStats {
    /// Number of groups.
    pub groups: usize,
    /// Number of members of all groups.
    pub members: usize,
    /// Number of running group tasks.
    pub tasks: usize,
    /// Number of frames encoded since the start.
    pub frames_encoded: u64,
    /// Number of snapshots encoded since the start.
    pub snapshots_encoded: u64,
    /// Number of times that a group was woken since the start.
    pub wakes: u64,
}

impl Hub {
    /// Creates an empty hub; `epoch` identifies this numbering of sequences.
    pub fn new(epoch: String) -> Self {
        Self::with(epoch, None)
    }

    /// Creates an empty hub whose rows are live only as long as [`Hub::keep_alive`] is called.
    ///
    /// This covers the time after a pause of the process, when requests may arrive before the board has run.
    pub fn with_keep_alive(epoch: String, clock: Clock) -> Self {
        Self::with(epoch, Some(clock))
    }

    fn with(epoch: String, clock: Option<Clock>) -> Self {
        let kept_alive_at = clock.as_ref().map(Clock::monotonic).unwrap_or_default();
        Self(Arc::new(Inner {
            epoch,
            clock,
            newest: Mutex::new(Newest { kept_alive_at, ..Newest::default() }),
            snapshots: Mutex::default(),
            frames_encoded: AtomicU64::new(0),
            snapshots_encoded: AtomicU64::new(0),
            wakes: AtomicU64::new(0),
            tasks: TaskTracker::new(),
        }))
    }

    /// Returns the epoch, which identifies this numbering of sequences.
    pub fn epoch(&self) -> &str {
        &self.0.epoch
    }

    /// Returns the current sequence.
    pub fn sequence(&self) -> u64 {
        self.newest().sequence
    }

    /// Returns a number that rises with each batch, even one that only confirms rows.
    pub fn version(&self) -> u64 {
        self.newest().version
    }

    /// Returns the time of the board's last batch.
    pub fn as_of(&self) -> Option<Timestamp> {
        self.newest().as_of
    }

    /// Applies a batch from the board and wakes the groups that it concerns.
    pub fn publish(&self, batch: BoardUpdate) {
        let woken = self.newest().apply(batch);
        self.wake(&woken);
    }

    /// Wakes groups to check for changes.
    fn wake(&self, groups: &[Arc<Group>]) {
        groups.iter().for_each(|group| group.wake());
        self.0.wakes.fetch_add(u64::try_from(groups.len()).unwrap_or(0), Ordering::Relaxed);
    }

    /// Returns the newest rows of `markets` from `source`, in that order; rows never published are omitted.
    pub fn rows(&self, source: &SourceId, markets: &[Market]) -> Vec<Arc<Quote>> {
        self.find(markets.iter().map(|market| (source, market))).into_iter().flatten().collect()
    }

    /// Returns the newest row of each market from its source, if one was ever published, in one consistent read.
    pub fn find<'a>(&self, keys: impl Iterator<Item = (&'a SourceId, &'a Market)>) -> Vec<Option<Arc<Quote>>> {
        let newest = self.newest();
        keys.map(|(source, market)| newest.find(source, market).map(|entry| entry.quote.clone())).collect()
    }

    /// Returns the newest row of a market from a source, if one was ever published.
    pub fn row(&self, source: &SourceId, market: &Market) -> Option<Arc<Quote>> {
        self.newest().find(source, market).map(|entry| entry.quote.clone())
    }

    /// Returns the first source by name that has published a market.
    pub fn source_of(&self, market: &Market) -> Option<SourceId> {
        let newest = self.newest();
        newest.rows.iter().filter(|(_, rows)| rows.contains_key(market)).map(|(source, _)| source.clone()).min()
    }

    /// Returns the newest row of every market and source, sorted by market.
    pub fn all_rows(&self) -> Vec<Arc<Quote>> {
        let mut rows: Vec<_> =
            self.newest().rows.values().flat_map(HashMap::values).map(|entry| entry.quote.clone()).collect();
        rows.sort_by(|a, b| (&a.market, &a.source).cmp(&(&b.market, &b.source)));
        rows
    }

    /// Returns the health of every venue.
    pub fn venues(&self) -> Vec<VenueHealth> {
        self.newest().venues.iter().map(|venue| venue.health.clone()).collect()
    }

    /// Removes a failed group, so that the next subscriber with the same key gets a new one.
    fn remove_group(&self, failed: &Arc<Group>) {
        let mut newest = self.newest();
        if newest.groups.get(failed.key()).is_some_and(|(group, _)| Arc::ptr_eq(group, failed)) {
            newest.remove(failed);
        }
    }

    /// Returns the counters, for metrics and tests.
    pub fn stats(&self) -> HubStats {
        let newest = self.newest();
        HubStats {
            groups: newest.groups.len(),
            members: newest.groups.values().map(|(_, members)| members).sum(),
            tasks: self.0.tasks.len(),
            frames_encoded: self.0.frames_encoded.load(Ordering::Relaxed),
            snapshots_encoded: self.0.snapshots_encoded.load(Ordering::Relaxed),
            wakes: self.0.wakes.load(Ordering::Relaxed),
        }
    }

    /// Records that the board is running at the monotonic time `now`. Returns whether the rows were marked as stale
    /// before, so that all of them must be published again.
    pub fn keep_alive(&self, now: Duration) -> bool {
        let mut newest = self.newest();
        newest.kept_alive_at = newest.kept_alive_at.max(now);
        std::mem::take(&mut newest.lapsed)
    }

    // The lock is held briefly and never across an await.
    fn newest(&self) -> MutexGuard<'_, Newest> {
        let lock = || self.0.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut newest = lock();
        let Some(clock) = self.0.clock.as_ref().filter(|_| !newest.lapsed) else { return newest };
        if clock.monotonic().saturating_sub(newest.kept_alive_at) <= KEEP_ALIVE_MAX {
            return newest;
        }
        newest.lapse();
        let woken = newest.all_groups();
        drop(newest);
        self.wake(&woken);
        lock()
    }
}

impl Newest {
    /// Applies a batch; returns the groups that it concerns.
    fn apply(&mut self, batch: BoardUpdate) -> Vec<Arc<Group>> {
        let BoardUpdate { at, changed, confirmed, venues } = batch;
        self.version += 1;
        self.as_of = Some(at);
        // A row that is confirmed before it was ever published counts as changed.
        let (confirmed, unseen): (Vec<_>, Vec<_>) =
            confirmed.into_iter().partition(|quote| self.find(&quote.source, &quote.market).is_some());
        for quote in confirmed {
            if let Some(entry) = self.rows.get_mut(&quote.source).and_then(|rows| rows.get_mut(&quote.market)) {
                entry.quote = quote;
            }
        }
        for health in venues {
            match self.venues.iter_mut().find(|venue| venue.health.venue == health.venue) {
                Some(venue) => venue.health = health,
                None => self.venues.push(VenueReport { health, reported: None, reported_at: at, changed: 0 }),
            }
        }
        let must_report = self.venues.iter().any(|venue| venue.must_report(at));
        if changed.is_empty() && unseen.is_empty() && !must_report {
            return Vec::new();
        }
        self.sequence += 1;
        for venue in self.venues.iter_mut().filter(|venue| venue.must_report(at)) {
            venue.mark_reported(self.sequence, at);
        }
        // All groups, since no index by venue is kept: the state of a venue seldom changes.
        let mut woken = if must_report { self.all_groups() } else { Vec::new() };
        woken.retain(|group| group.mark_woken(self.sequence));
        for quote in changed.into_iter().chain(unseen) {
            let key = (quote.source.clone(), quote.market.clone());
            let showing = self.shown_by.get(&key).into_iter().flat_map(HashMap::values);
            woken.extend(showing.filter(|group| group.mark_woken(self.sequence)).cloned());
            let (source, market) = key;
            self.rows.entry(source).or_default().insert(market, RowEntry { quote, changed: self.sequence });
        }
        woken
    }

    fn all_groups(&self) -> Vec<Arc<Group>> {
        self.groups.values().map(|(group, _)| group.clone()).collect()
    }

    /// Adds a group with one member.
    fn add(&mut self, group: &Arc<Group>) {
        self.groups.insert(group.key().clone(), (group.clone(), 1));
        for row in group.key().view.rows.iter() {
            self.shown_by.entry(row.clone()).or_default().insert(Arc::as_ptr(group).addr(), group.clone());
        }
    }

    fn remove(&mut self, group: &Arc<Group>) {
        self.groups.remove(group.key());
        for row in group.key().view.rows.iter() {
            if let Some(groups) = self.shown_by.get_mut(row) {
                groups.remove(&Arc::as_ptr(group).addr());
                if groups.is_empty() {
                    self.shown_by.remove(row);
                }
            }
        }
    }

    /// Marks all rows as stale for lack of [`Hub::keep_alive`].
    fn lapse(&mut self) {
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

    fn find(&self, source: &SourceId, market: &Market) -> Option<&RowEntry> {
        self.rows.get(source)?.get(market)
    }
}
