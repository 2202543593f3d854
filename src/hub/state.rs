//! The hub: the newest rows of an edge, and the groups that show them.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio_util::task::TaskTracker;

use super::group::{Group, GroupKey};
use super::snapshot::{Snapshot, Snapshots};
use super::update::{EncodedUpdate, Encoding};
use super::view::RowsView;
use crate::api::{BoardUpdate, Market, Quote, SourceId, VenueHealth};
use crate::bus::{Listener, Replica, Rows, Sequenced};
use crate::failpoint;

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
    /// Creates a hub of the rows of an edge. It must be the only one of this replica.
    pub fn new(replica: Replica) -> Self {
        let shared = Arc::new(Shared::new(replica));
        let listener: Arc<dyn Listener> = shared.clone();
        shared.replica.listen(Arc::downgrade(&listener));
        Self(shared)
    }

    /// Returns the epoch, which identifies the numbering of sequences.
    pub fn epoch(&self) -> &str {
        self.0.replica.epoch()
    }

    /// Returns the current sequence.
    pub fn sequence(&self) -> u64 {
        self.0.rows().sequence()
    }

    /// Returns a number that rises whenever an answer may differ from before, even in a confirmation alone.
    pub fn version(&self) -> u64 {
        self.0.rows().version()
    }

    /// Returns the time of the newest update.
    pub fn as_of(&self) -> Option<Timestamp> {
        self.0.rows().as_of()
    }

    /// Returns a number that rises when the boards have changed, or all rows have become stale together or current
    /// again; starts at 0. Every member then checks whether it needs another snapshot ([`Hub::fingerprint`],
    /// [`Subscription::take_revision`](super::Subscription::take_revision), [`fanout::Service::on_revision`]).
    pub fn revision(&self) -> u64 {
        self.0.replica.revision()
    }

    /// Returns a fingerprint of a view: a subscriber with another one needs a snapshot.
    pub fn fingerprint(&self, view: &RowsView) -> u64 {
        let stale_changes = self.0.rows().stale_changes();
        view.fingerprint(stale_changes)
    }

    /// Makes all rows stale, and notifies subscribers, if the market has been silent for too long. Every read checks this
    /// too.
    pub fn check_silence(&self) {
        self.0.replica.check_silence();
    }

    /// Returns the newest rows of `markets` from `source`, in that order; rows never published are omitted.
    pub fn rows(&self, source: &SourceId, markets: &[Market]) -> Vec<Arc<Quote>> {
        self.find(markets.iter().map(|market| (source, market))).into_iter().flatten().collect()
    }

    /// Returns the newest row of each market from its source, if one was ever published, in one consistent read.
    pub fn find<'a>(&self, keys: impl Iterator<Item = (&'a SourceId, &'a Market)>) -> Vec<Option<Arc<Quote>>> {
        let rows = self.0.rows();
        keys.map(|(source, market)| rows.row(source, market).map(|row| row.quote)).collect()
    }

    /// Returns the newest row of a market from a source, if one was ever published.
    pub fn row(&self, source: &SourceId, market: &Market) -> Option<Arc<Quote>> {
        self.0.rows().row(source, market).map(|row| row.quote)
    }

    /// Returns the first source by name that has published a market.
    pub fn source_of(&self, market: &Market) -> Option<SourceId> {
        self.0.rows().source_of(market).cloned()
    }

    /// Returns the newest row of every market and source, sorted by market.
    pub fn all_rows(&self) -> Vec<Arc<Quote>> {
        let mut rows: Vec<_> = self.0.rows().all().map(|row| row.quote).collect();
        rows.sort_by(|a, b| (&a.market, &a.source).cmp(&(&b.market, &b.source)));
        rows
    }

    /// Returns the health of every venue.
    pub fn venues(&self) -> Vec<VenueHealth> {
        self.0.rows().venues().iter().map(|venue| venue.health.clone()).collect()
    }

    /// Returns the snapshot of a view; rows that were never published are omitted.
    pub fn snapshot(&self, view: &RowsView) -> Snapshot {
        let draft = self.0.snapshots.draft(&self.0.rows(), view);
        draft.encode(&self.0.encoding, view)
    }

    /// Returns the counters, for metrics and tests.
    pub fn stats(&self) -> HubStats {
        let groups = self.0.groups();
        HubStats {
            groups: groups.by_key.len(),
            members: groups.by_key.values().map(|(_, members)| members).sum(),
            tasks: self.0.tasks.len(),
            frames_encoded: self.0.encoding.frames_encoded.load(Ordering::Relaxed),
            snapshots_encoded: self.0.encoding.snapshots_encoded.load(Ordering::Relaxed),
            wakes: self.0.wakes.load(Ordering::Relaxed),
        }
    }
}

/// The inside of a [`Hub`].
#[derive(Debug)]
pub(super) struct Shared {
    pub encoding: Encoding,
    pub replica: Replica,
    // Locked before the rows, if both are.
    groups: Mutex<Groups>,
    pub snapshots: Snapshots,
    pub wakes: AtomicU64,
    pub tasks: TaskTracker,
}

/// The groups, and which of them show a market.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// The groups, each with the number of its members.
    pub by_key: HashMap<GroupKey, (Arc<Group>, usize)>,
    /// The groups that show a market, by address of the group; only these are woken when it changes.
    shown_by: HashMap<(SourceId, Market), HashMap<usize, Arc<Group>>>,
}

impl Shared {
    fn new(replica: Replica) -> Self {
        Self {
            encoding: Encoding::new(replica.epoch().to_owned()),
            replica,
            groups: Mutex::default(),
            snapshots: Snapshots::default(),
            wakes: AtomicU64::new(0),
            tasks: TaskTracker::new(),
        }
    }

    /// Returns the rows as they are now. Not to be called while the groups are locked: it may wake all of them.
    pub fn rows(&self) -> Rows<'_> {
        self.replica.current()
    }

    /// Locks the groups. The lock is held briefly and never across an await.
    pub fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes groups to check for changes.
    fn wake(&self, groups: &[Arc<Group>]) {
        groups.iter().for_each(|group| group.wake());
        self.wakes.fetch_add(u64::try_from(groups.len()).unwrap_or(0), Ordering::Relaxed);
    }

    /// Runs the task of a group; if it panics, removes the group and notifies its members.
    pub async fn supervise(self: Arc<Self>, group: Arc<Group>) {
        let changes = |view: &RowsView, since| view.changes(&self.rows(), since);
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
        let mut groups = self.groups();
        if groups.by_key.get(failed.key()).is_some_and(|(group, _)| Arc::ptr_eq(group, failed)) {
            groups.remove(failed);
        }
    }
}

impl Listener for Shared {
    fn applied(&self, sequenced: &Sequenced, update: &BoardUpdate) {
        let woken = self.groups().concerned(sequenced, update);
        self.wake(&woken);
    }

    fn revised(&self) {
        let groups = self.groups().all();
        groups.iter().for_each(|group| group.wake_members());
    }
}

impl Groups {
    /// Returns the groups that an update concerns and that are not woken for it yet.
    fn concerned(&self, sequenced: &Sequenced, update: &BoardUpdate) -> Vec<Arc<Group>> {
        let is_new = |group: &&Arc<Group>| group.mark_woken(sequenced.sequence);
        // All groups, since no index by venue is kept: the state of a venue seldom changes.
        let all = if sequenced.reported_venues.is_empty() { Vec::new() } else { self.all() };
        let mut woken: Vec<_> = all.into_iter().filter(|group| is_new(&group)).collect();
        for quote in &update.changed {
            let showing = self.shown_by.get(&(quote.source.clone(), quote.market.clone()));
            woken.extend(showing.into_iter().flat_map(HashMap::values).filter(is_new).cloned());
        }
        woken
    }

    fn all(&self) -> Vec<Arc<Group>> {
        self.by_key.values().map(|(group, _)| group.clone()).collect()
    }

    /// Adds a group with one member.
    pub fn add(&mut self, group: &Arc<Group>) {
        self.by_key.insert(group.key().clone(), (group.clone(), 1));
        for row in group.key().view.rows.iter() {
            self.shown_by.entry(row.clone()).or_default().insert(Arc::as_ptr(group).addr(), group.clone());
        }
    }

    pub fn remove(&mut self, group: &Arc<Group>) {
        self.by_key.remove(group.key());
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
        self.shared.replica.revision()
    }

    fn add_watcher(&self, watcher: &Arc<dyn fanout::Watcher>) {
        self.group.add_watcher(watcher);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut groups = self.shared.groups();
        // After a failure, a new group may have the same key.
        let same = groups.by_key.get_mut(self.group.key()).filter(|(group, _)| Arc::ptr_eq(group, &self.group));
        let Some((group, members)) = same else { return };
        *members = members.saturating_sub(1);
        if *members == 0 {
            group.end();
            groups.remove(&self.group);
        }
    }
}
