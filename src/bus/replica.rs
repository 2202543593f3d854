//! The newest rows and the health of the venues at one edge, and the bus to edges of the same process.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};

use super::sequencer::{Sequenced, Sequencer};
use crate::clock::Clock;
use crate::feed::{BoardUpdate, VenueHealth};
use crate::market::{Market, Quote, SourceId};

/// Longest silence of the market; after it, its rows are stale: the process was stopped, the machine slept, or the
/// market is gone.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// The newest rows and health that an edge has received. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Replica(Arc<Shared>);

/// The bus to edges of the same process.
#[derive(Debug)]
pub struct Local {
    sequencer: Sequencer,
    edges: Vec<Replica>,
    clock: Clock,
}

/// Is called after a change of a replica.
pub trait Listener: Send + Sync + Debug {
    /// Called after an update.
    fn applied(&self, sequenced: &Sequenced, update: &BoardUpdate);
    /// Called after [`Replica::revision`] has risen.
    fn revised(&self);
}

#[derive(Debug)]
struct Shared {
    epoch: String,
    clock: Clock,
    newest: Mutex<Newest>,
    /// Rises while the rows are locked: a reader that sees a new row sees the new revision.
    revision: AtomicU64,
    listener: OnceLock<Weak<dyn Listener>>,
}

#[derive(Debug, Default)]
struct Newest {
    sequence: u64,
    version: u64,
    as_of: Option<Timestamp>,
    /// Monotonic time at which the rows were last evaluated: see [`Replica::apply`].
    evaluated_at: Duration,
    /// Whether all rows are stale because the market is silent.
    is_stale: bool,
    /// Number of changes of `is_stale`.
    stale_changes: u64,
    resumable_from: u64,
    rows: HashMap<SourceId, HashMap<Market, VersionedRow>>,
    venues: Vec<VersionedHealth>,
}

/// The newest row of one market.
#[derive(Debug, Clone)]
pub struct VersionedRow {
    /// The row.
    pub quote: Arc<Quote>,
    /// The sequence of its last change.
    pub changed: u64,
}

/// The newest health of a venue.
#[derive(Debug, Clone)]
pub struct VersionedHealth {
    /// The health.
    pub health: VenueHealth,
    /// The sequence at which it was last reported to subscribers.
    pub changed: u64,
}

/// The rows and the health at one moment. While it exists, no update is applied: it must be dropped soon, and never
/// held across an await.
#[derive(Debug)]
pub struct Rows<'a>(MutexGuard<'a, Newest>);

impl Replica {
    /// Creates an empty replica of a market; `epoch` identifies the numbering of its updates.
    fn new(epoch: String, clock: Clock) -> Self {
        let newest = Newest { evaluated_at: clock.monotonic(), ..Newest::default() };
        Self(Arc::new(Shared {
            epoch,
            clock,
            newest: Mutex::new(newest),
            revision: AtomicU64::new(0),
            listener: OnceLock::new(),
        }))
    }

    /// Sets the listener.
    ///
    /// # Panics
    /// If it has one: what the first one serves would no longer change.
    pub fn listen(&self, listener: Weak<dyn Listener>) {
        assert!(self.0.listener.set(listener).is_ok(), "a replica has one listener");
    }

    /// Returns what identifies the numbering of the market.
    pub fn epoch(&self) -> &str {
        &self.0.epoch
    }

    /// Returns a number that rises when a view may show other rows than before although no row has changed: the boards
    /// have changed, or the rows have become stale together, or current again. Starts at 0.
    pub fn revision(&self) -> u64 {
        self.0.revision.load(Ordering::Acquire)
    }

    /// Returns the rows and the health as they are now, stale if the market is silent. May call the listener.
    pub fn current(&self) -> Rows<'_> {
        let newest = self.newest();
        if newest.is_stale || !self.is_silent(&newest) {
            return Rows(newest);
        }
        drop(newest);
        self.check_silence();
        self.read()
    }

    /// Returns the rows and the health as of the last update or [`Self::check_silence`].
    pub fn read(&self) -> Rows<'_> {
        Rows(self.newest())
    }

    /// Makes all rows stale if the market has been silent for too long.
    pub fn check_silence(&self) {
        let mut newest = self.newest();
        if newest.is_stale || !self.is_silent(&newest) {
            return;
        }
        newest.set_stale(true);
        newest.version += 1;
        // The number of the stale rows is that of live ones.
        newest.resumable_from = u64::MAX;
        self.raise_revision(newest);
        warn!("no prices were evaluated for {} s; until they are, all rows are stale", SILENCE_MAX.as_secs());
        if let Some(listener) = self.listener() {
            listener.revised();
        }
    }

    /// Returns whether all rows must be published with the next update, because the market has been silent for too long.
    fn needs_all_rows(&self) -> bool {
        let newest = self.newest();
        newest.is_stale || self.is_silent(&newest)
    }

    /// Applies an update whose rows were evaluated at the monotonic time `evaluated_at`.
    ///
    /// A silence ends with an update that has all rows: an update from before a pause of the process may arrive after
    /// it, and those of its rows that have not changed were not evaluated again.
    fn apply(&self, sequenced: &Sequenced, update: &BoardUpdate, evaluated_at: Duration) {
        let mut newest = self.newest();
        let in_time = evaluated_at.saturating_sub(newest.evaluated_at) <= SILENCE_MAX;
        if update.is_complete || (in_time && !newest.is_stale) {
            newest.evaluated_at = newest.evaluated_at.max(evaluated_at);
        }
        let is_back = newest.is_stale && !self.is_silent(&newest);
        if is_back {
            newest.set_stale(false);
        }
        newest.apply(sequenced, update);
        if !newest.is_stale && (update.is_complete || update.is_revision) {
            newest.resumable_from = newest.sequence;
        }
        let is_revised = is_back || update.is_revision;
        if is_revised {
            self.raise_revision(newest);
        } else {
            drop(newest);
        }
        if is_back {
            info!("prices are evaluated again");
        }
        if let Some(listener) = self.listener() {
            listener.applied(sequenced, update);
            if is_revised {
                listener.revised();
            }
        }
    }

    /// Raises the revision while the rows are locked, and unlocks them.
    fn raise_revision(&self, newest: MutexGuard<'_, Newest>) {
        self.0.revision.fetch_add(1, Ordering::Release);
        drop(newest);
    }

    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.0.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_silent(&self, newest: &Newest) -> bool {
        self.0.clock.monotonic().saturating_sub(newest.evaluated_at) > SILENCE_MAX
    }

    fn listener(&self) -> Option<Arc<dyn Listener>> {
        self.0.listener.get().and_then(Weak::upgrade)
    }
}

impl Local {
    /// Creates a bus without edges, with an epoch that is unique to this start.
    pub fn new(clock: Clock) -> Self {
        let epoch = format!("{:x}-{:08x}", clock.now().as_millisecond(), rand::random::<u32>());
        Self::with_epoch(epoch, clock)
    }

    /// Creates a bus without edges, with this epoch.
    pub fn with_epoch(epoch: String, clock: Clock) -> Self {
        Self { sequencer: Sequencer::new(epoch), edges: Vec::new(), clock }
    }

    /// Adds an edge and returns its replica, which gets the updates from now on: to be called before the first one.
    pub fn edge(&mut self) -> Replica {
        let edge = Replica::new(self.sequencer.epoch().to_owned(), self.clock.clone());
        self.edges.push(edge.clone());
        edge
    }

    /// Publishes an update whose rows were evaluated at the monotonic time `evaluated_at`. Must be called every few
    /// seconds, even if nothing has changed. Whoever resolves views must see changed boards before this.
    pub fn publish(&mut self, update: BoardUpdate, evaluated_at: Duration) {
        let sequenced = self.sequencer.next(&update);
        self.edges.iter().for_each(|edge| edge.apply(&sequenced, &update, evaluated_at));
    }

    /// Returns whether the last update is so long ago that an edge shows its rows as stale: the next update must have
    /// all rows.
    pub fn needs_all_rows(&self) -> bool {
        self.edges.iter().any(Replica::needs_all_rows)
    }
}

impl Newest {
    fn set_stale(&mut self, is_stale: bool) {
        self.is_stale = is_stale;
        self.stale_changes += 1;
    }

    fn apply(&mut self, sequenced: &Sequenced, update: &BoardUpdate) {
        let sequence = sequenced.sequence;
        let is_empty = update.confirmed.is_empty() && update.venues.is_empty();
        if is_empty && sequence == self.sequence {
            return;
        }
        self.sequence = sequence;
        self.version += 1;
        self.as_of = Some(update.at);
        if update.is_complete {
            // An edge that has missed a removal would keep the row.
            self.rows.clear();
        }
        for (source, market) in &update.removed {
            if let Some(rows) = self.rows.get_mut(source) {
                rows.remove(market);
                if rows.is_empty() {
                    self.rows.remove(source);
                }
            }
        }
        for quote in &update.confirmed {
            if let Some(row) = self.rows.get_mut(&quote.source).and_then(|rows| rows.get_mut(&quote.market)) {
                row.quote = quote.clone();
            }
        }
        for quote in &update.changed {
            let row = VersionedRow { quote: quote.clone(), changed: sequence };
            self.rows.entry(quote.source.clone()).or_default().insert(quote.market.clone(), row);
        }
        for health in &update.venues {
            match self.venues.iter_mut().find(|known| known.health.venue == health.venue) {
                Some(known) => known.health = health.clone(),
                None => self.venues.push(VersionedHealth { health: health.clone(), changed: 0 }),
            }
        }
        for venue in self.venues.iter_mut().filter(|known| sequenced.reported_venues.contains(&known.health.venue)) {
            venue.changed = sequence;
        }
    }
}

impl Rows<'_> {
    /// Returns the sequence of the newest update.
    pub fn sequence(&self) -> u64 {
        self.0.sequence
    }

    /// Returns a number that rises whenever an answer may differ from before, even in a confirmation alone.
    pub fn version(&self) -> u64 {
        self.0.version
    }

    /// Returns the time of the newest update.
    pub fn as_of(&self) -> Option<Timestamp> {
        self.0.as_of
    }

    /// Returns whether all rows are stale because the market is silent.
    pub fn is_stale(&self) -> bool {
        self.0.is_stale
    }

    /// Returns how many times the rows have become stale together, or current again.
    pub fn stale_changes(&self) -> u64 {
        self.0.stale_changes
    }

    /// Returns whether a subscriber that has all rows at this sequence may get only what has changed since.
    pub fn may_resume_from(&self, sequence: u64) -> bool {
        (self.0.resumable_from..=self.0.sequence).contains(&sequence)
    }

    /// Returns the row of a market from a source, if it was ever published: stale, if the market is silent.
    pub fn row(&self, source: &SourceId, market: &Market) -> Option<VersionedRow> {
        self.published(source, market).map(|row| self.as_current(row))
    }

    /// Returns the row as it was published.
    pub fn published(&self, source: &SourceId, market: &Market) -> Option<&VersionedRow> {
        self.0.rows.get(source)?.get(market)
    }

    /// Returns the first source by name that has published a market.
    pub fn source_of(&self, market: &Market) -> Option<&SourceId> {
        self.0.rows.iter().filter(|(_, rows)| rows.contains_key(market)).map(|(source, _)| source).min()
    }

    /// Returns the rows of all markets and sources, in no order.
    pub fn all(&self) -> impl Iterator<Item = VersionedRow> {
        self.0.rows.values().flat_map(HashMap::values).map(|row| self.as_current(row))
    }

    /// Returns the health of the venues.
    pub fn venues(&self) -> &[VersionedHealth] {
        &self.0.venues
    }

    fn as_current(&self, row: &VersionedRow) -> VersionedRow {
        let stale = if self.0.is_stale { row.quote.stale_copy() } else { None };
        VersionedRow { quote: stale.map_or_else(|| row.quote.clone(), Arc::new), changed: row.changed }
    }
}
