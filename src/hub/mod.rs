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
mod newest;
mod shared;
mod snapshot;
mod subscription;
mod update;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::api::{BoardUpdate, Market, Quote, RequestId, SourceId, VenueHealth};
use crate::clock::Clock;

use shared::Shared;

pub use group::{GroupPermit, HEARTBEAT};
pub use newest::RowsView;
pub use snapshot::Snapshot;
pub use subscription::{Member, Resume, Subscription};
pub use update::{EncodedUpdate, InitialState};

/// Newest rows and the groups of their subscribers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Shared>);

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
        self.0.publish(batch);
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

    /// Joins the group of a view and returns its initial state.
    ///
    /// The initial state holds the rows changed since `resume` if that is a position of this epoch that exists,
    /// else a snapshot. No change is lost between it and what [`fanout::Member::update_since`] returns for its sequence.
    /// `interval` is the minimum time between two frames. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Returns the error of `admit`, which is called with the number of groups if a new group is needed.
    pub fn join<E>(
        &self,
        view: RowsView,
        interval: Duration,
        resume: Option<&Resume>,
        admit: impl FnOnce(usize) -> Result<Option<GroupPermit>, E>,
    ) -> Result<(Member, InitialState), E> {
        Member::join(&self.0, view, interval, resume, admit).map(|(member, initial, _)| (member, initial))
    }

    /// Like [`Hub::join`], for a member that awaits its updates; returns the initial state as JSON messages.
    ///
    /// # Errors
    /// As for [`Hub::join`].
    pub fn try_subscribe<E>(
        &self,
        view: RowsView,
        interval: Duration,
        id: Option<&RequestId>,
        resume: Option<&Resume>,
        admit: impl FnOnce(usize) -> Result<Option<GroupPermit>, E>,
    ) -> Result<(Subscription, Vec<Bytes>), E> {
        Subscription::join(&self.0, view, interval, id, resume, admit)
    }

    /// Like [`Hub::try_subscribe`], without an admission check.
    pub fn subscribe(
        &self,
        view: RowsView,
        interval: Duration,
        id: Option<&RequestId>,
        resume: Option<&Resume>,
    ) -> (Subscription, Vec<Bytes>) {
        let Ok(subscribed) = self.try_subscribe(view, interval, id, resume, |_| Ok::<_, Infallible>(None));
        subscribed
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
