//! The hub: the newest rows and the groups that show them, behind one lock.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio_util::task::TaskTracker;

use super::group::{Group, GroupKey};
use super::newest::{Newest, RowEntry, RowsView, VenueReport};
use super::snapshot::{Snapshot, Snapshots};
use super::update::{EncodedUpdate, Encoding};
use crate::api::{BoardUpdate, Market, Quote, SourceId, VenueHealth};
use crate::clock::Clock;
use crate::failpoint;

/// Time after the last [`Hub::keep_alive`] from which rows count as stale: the process was stopped, or the machine
/// slept.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(5);

/// Newest rows and the groups of their subscribers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub(pub(super) Arc<Shared>);

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

/// Membership in a group. Dropping it leaves the group; the last member to leave ends the group.
#[derive(Debug)]
pub struct Member {
    pub(super) shared: Arc<Shared>,
    pub(super) group: Arc<Group>,
    /// Requested markets that are unknown.
    pub(super) missing: Arc<[String]>,
}

impl Hub {
    /// Creates an empty hub; `epoch` identifies this numbering of sequences.
    pub fn new(epoch: String) -> Self {
        Self(Arc::new(Shared::new(epoch, None)))
    }

    /// Creates an empty hub whose rows are live only as long as [`Hub::keep_alive`] is called.
    ///
    /// This covers the time after a pause of the process, when requests may arrive before the board has run.
    pub fn with_keep_alive(epoch: String, clock: Clock) -> Self {
        Self(Arc::new(Shared::new(epoch, Some(clock))))
    }

    /// Returns the epoch, which identifies this numbering of sequences.
    pub fn epoch(&self) -> &str {
        &self.0.encoding.epoch
    }

    /// Returns the current sequence.
    pub fn sequence(&self) -> u64 {
        self.0.state().newest.sequence
    }

    /// Returns a number that rises with each batch, even one that only confirms rows.
    pub fn version(&self) -> u64 {
        self.0.state().newest.version
    }

    /// Returns the time of the board's last batch.
    pub fn as_of(&self) -> Option<Timestamp> {
        self.0.state().newest.as_of
    }

    /// Applies a batch from the board and wakes the groups that it concerns.
    pub fn publish(&self, batch: BoardUpdate) {
        let is_revision = !batch.removed.is_empty();
        self.0.publish(batch, is_revision);
    }

    /// Applies the first batch after a change of the boards: every member checks whether its view is still the same
    /// ([`Subscription::take_revision`](super::Subscription::take_revision), [`fanout::Service::on_revision`]).
    ///
    /// Whoever resolves views must see the changed boards before this is called.
    pub fn revise(&self, batch: BoardUpdate) {
        self.0.publish(batch, true);
    }

    /// Returns a number that rises when the boards change; starts at 0.
    pub fn revision(&self) -> u64 {
        self.0.revision()
    }

    /// Returns the newest rows of `markets` from `source`, in that order; rows never published are omitted.
    pub fn rows(&self, source: &SourceId, markets: &[Market]) -> Vec<Arc<Quote>> {
        self.find(markets.iter().map(|market| (source, market))).into_iter().flatten().collect()
    }

    /// Returns the newest row of each market from its source, if one was ever published, in one consistent read.
    pub fn find<'a>(&self, keys: impl Iterator<Item = (&'a SourceId, &'a Market)>) -> Vec<Option<Arc<Quote>>> {
        let state = self.0.state();
        keys.map(|(source, market)| state.newest.find(source, market).map(|entry| entry.quote.clone())).collect()
    }

    /// Returns the newest row of a market from a source, if one was ever published.
    pub fn row(&self, source: &SourceId, market: &Market) -> Option<Arc<Quote>> {
        self.0.state().newest.find(source, market).map(|entry| entry.quote.clone())
    }

    /// Returns the first source by name that has published a market.
    pub fn source_of(&self, market: &Market) -> Option<SourceId> {
        let state = self.0.state();
        state.newest.rows.iter().filter(|(_, rows)| rows.contains_key(market)).map(|(source, _)| source.clone()).min()
    }

    /// Returns the newest row of every market and source, sorted by market.
    pub fn all_rows(&self) -> Vec<Arc<Quote>> {
        let mut rows: Vec<_> =
            self.0.state().newest.rows.values().flat_map(HashMap::values).map(|entry| entry.quote.clone()).collect();
        rows.sort_by(|a, b| (&a.market, &a.source).cmp(&(&b.market, &b.source)));
        rows
    }

    /// Returns the health of every venue.
    pub fn venues(&self) -> Vec<VenueHealth> {
        self.0.state().newest.venues.iter().map(|venue| venue.health.clone()).collect()
    }

    /// Returns the snapshot of a view; rows that were never published are omitted.
    pub fn snapshot(&self, view: &RowsView) -> Snapshot {
        let draft = self.0.snapshots.draft(&self.0.state().newest, view);
        draft.encode(&self.0.encoding, view)
    }

    /// Returns the counters, for metrics and tests.
    pub fn stats(&self) -> HubStats {
        let state = self.0.state();
        HubStats {
            groups: state.groups.len(),
            members: state.groups.values().map(|(_, members)| members).sum(),
            tasks: self.0.tasks.len(),
            frames_encoded: self.0.encoding.frames_encoded.load(Ordering::Relaxed),
            snapshots_encoded: self.0.encoding.snapshots_encoded.load(Ordering::Relaxed),
            wakes: self.0.wakes.load(Ordering::Relaxed),
        }
    }

    /// Records that the board is running at the monotonic time `now`. Returns whether the rows were marked as stale
    /// before, so that all of them must be published again.
    pub fn keep_alive(&self, now: Duration) -> bool {
        let newest = &mut self.0.state().newest;
        newest.kept_alive_at = newest.kept_alive_at.max(now);
        std::mem::take(&mut newest.lapsed)
    }
}

/// The inside of a [`Hub`].
#[derive(Debug)]
pub(super) struct Shared {
    pub encoding: Encoding,
    /// Clock of the keep-alive check; without one, rows are never marked as stale here.
    clock: Option<Clock>,
    state: Mutex<State>,
    pub snapshots: Snapshots,
    /// Rises when the boards change, while the rows are locked.
    revision: AtomicU64,
    pub wakes: AtomicU64,
    pub tasks: TaskTracker,
}

/// The newest rows, and the groups that show them.
#[derive(Debug, Default)]
pub(super) struct State {
    pub newest: Newest,
    /// The groups, each with the number of its members.
    pub groups: HashMap<GroupKey, (Arc<Group>, usize)>,
    /// The groups that show a market, by address of the group; only these are woken when it changes.
    shown_by: HashMap<(SourceId, Market), HashMap<usize, Arc<Group>>>,
}

impl Shared {
    pub fn new(epoch: String, clock: Option<Clock>) -> Self {
        let kept_alive_at = clock.as_ref().map(Clock::monotonic).unwrap_or_default();
        let newest = Newest { kept_alive_at, ..Newest::default() };
        Self {
            encoding: Encoding::new(epoch),
            clock,
            state: Mutex::new(State { newest, ..State::default() }),
            snapshots: Snapshots::default(),
            revision: AtomicU64::new(0),
            wakes: AtomicU64::new(0),
            tasks: TaskTracker::new(),
        }
    }

    /// Locks the rows and groups, after marking the rows as stale if the board is not running.
    ///
    /// The lock is held briefly and never across an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        let lock = || self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = lock();
        let Some(clock) = self.clock.as_ref().filter(|_| !state.newest.lapsed) else { return state };
        if clock.monotonic().saturating_sub(state.newest.kept_alive_at) <= KEEP_ALIVE_MAX {
            return state;
        }
        state.newest.lapse();
        let woken = state.all_groups();
        drop(state);
        self.wake(&woken);
        lock()
    }

    /// Applies a batch from the board and wakes the groups that it concerns; after a change of the boards, their
    /// members too.
    pub fn publish(&self, batch: BoardUpdate, is_revision: bool) {
        let mut state = self.state();
        let woken = state.apply(batch, is_revision);
        let revised = if is_revision { state.all_groups() } else { Vec::new() };
        // While the rows are locked, so that whoever sees the new sequence sees the new revision.
        self.revision.fetch_add(u64::from(is_revision), Ordering::Release);
        drop(state);
        self.wake(&woken);
        revised.iter().for_each(|group| group.wake_members());
    }

    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Wakes groups to check for changes.
    fn wake(&self, groups: &[Arc<Group>]) {
        groups.iter().for_each(|group| group.wake());
        self.wakes.fetch_add(u64::try_from(groups.len()).unwrap_or(0), Ordering::Relaxed);
    }

    /// Runs the task of a group; if it panics, removes the group and notifies its members.
    pub async fn supervise(self: Arc<Self>, group: Arc<Group>) {
        let changes = |view: &RowsView, since| self.state().newest.changes(view, since);
        let work = failpoint::run("group", group.run(&self.encoding, changes));
        let _ = AssertUnwindSafe(work).catch_unwind().await;
        if group.has_ended() {
            return;
        }
        self.remove_group(&group);
        group.fail();
    }

    /// Removes a failed group, so that the next subscriber with the same key gets a new one.
    fn remove_group(&self, failed: &Arc<Group>) {
        let mut state = self.state();
        if state.groups.get(failed.key()).is_some_and(|(group, _)| Arc::ptr_eq(group, failed)) {
            state.remove(failed);
        }
    }
}

impl State {
    /// Applies a batch; returns the groups that it concerns.
    fn apply(&mut self, batch: BoardUpdate, is_revision: bool) -> Vec<Arc<Group>> {
        let BoardUpdate { at, changed, confirmed, venues, removed } = batch;
        self.newest.version += 1;
        self.newest.as_of = Some(at);
        removed.iter().for_each(|(source, market)| self.newest.remove(source, market));
        // A row that is confirmed before it was ever published counts as changed.
        let (confirmed, unseen): (Vec<_>, Vec<_>) =
            confirmed.into_iter().partition(|quote| self.newest.find(&quote.source, &quote.market).is_some());
        for quote in confirmed {
            if let Some(entry) = self.newest.rows.get_mut(&quote.source).and_then(|rows| rows.get_mut(&quote.market)) {
                entry.quote = quote;
            }
        }
        for health in venues {
            match self.newest.venues.iter_mut().find(|venue| venue.health.venue == health.venue) {
                Some(venue) => venue.health = health,
                None => self.newest.venues.push(VenueReport::new(health, at)),
            }
        }
        let must_report = self.newest.venues.iter().any(|venue| venue.must_report(at));
        if changed.is_empty() && unseen.is_empty() && !must_report && !is_revision {
            return Vec::new();
        }
        self.newest.sequence += 1;
        if is_revision {
            self.newest.revised_at = self.newest.sequence;
        }
        for venue in self.newest.venues.iter_mut().filter(|venue| venue.must_report(at)) {
            venue.mark_reported(self.newest.sequence, at);
        }
        // All groups, since no index by venue is kept: the state of a venue seldom changes.
        let mut woken = if must_report { self.all_groups() } else { Vec::new() };
        woken.retain(|group| group.mark_woken(self.newest.sequence));
        for quote in changed.into_iter().chain(unseen) {
            let key = (quote.source.clone(), quote.market.clone());
            let showing = self.shown_by.get(&key).into_iter().flat_map(HashMap::values);
            woken.extend(showing.filter(|group| group.mark_woken(self.newest.sequence)).cloned());
            let (source, market) = key;
            let entry = RowEntry { quote, changed: self.newest.sequence };
            self.newest.rows.entry(source).or_default().insert(market, entry);
        }
        woken
    }

    fn all_groups(&self) -> Vec<Arc<Group>> {
        self.groups.values().map(|(group, _)| group.clone()).collect()
    }

    /// Adds a group with one member.
    pub fn add(&mut self, group: &Arc<Group>) {
        self.groups.insert(group.key().clone(), (group.clone(), 1));
        for row in group.key().view.rows.iter() {
            self.shown_by.entry(row.clone()).or_default().insert(Arc::as_ptr(group).addr(), group.clone());
        }
    }

    pub fn remove(&mut self, group: &Arc<Group>) {
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
}

impl Member {
    /// Returns the update for a member at sequence `seen` and its new sequence; `None` if there is none.
    ///
    /// Members that kept up share the same bytes. One that fell behind gets the newest rows in one message, however
    /// far behind it is.
    pub(super) fn newest_since(&self, seen: u64) -> Option<(u64, Arc<EncodedUpdate>)> {
        self.group.update_since(&self.shared.encoding, seen)
    }

    /// Returns the view of the group.
    pub fn view(&self) -> &RowsView {
        &self.group.key().view
    }
}

impl fanout::Member for Member {
    fn group(&self) -> usize {
        Arc::as_ptr(&self.group).addr()
    }

    fn update_since(&self, seen: u64, deflate: bool) -> Option<(u64, Bytes)> {
        let (sequence, update) = self.newest_since(seen)?;
        Some((sequence, update.frames(deflate).clone()))
    }

    fn has_failed(&self) -> bool {
        self.group.has_failed()
    }

    fn revision(&self) -> u64 {
        self.shared.revision()
    }

    fn add_watcher(&self, watcher: &Arc<dyn fanout::Watcher>) {
        self.group.add_watcher(watcher);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        // After a failure, a new group may have the same key.
        let same = state.groups.get_mut(self.group.key()).filter(|(group, _)| Arc::ptr_eq(group, &self.group));
        let Some((group, members)) = same else { return };
        *members = members.saturating_sub(1);
        if *members == 0 {
            group.end();
            state.remove(&self.group);
        }
    }
}
