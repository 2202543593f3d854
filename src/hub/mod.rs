//! Groups of subscribers that get the same bytes, and the newest rows for whoever asks.
//!
//! ```text
//!             publish            a task a group                  newest only
//!  board ──────────────▶ newest ────────────────▶ frame, encoded ─────────────▶ members
//!                          │  rows, sequence        once, shared    a call a thread, or a watch a task
//!                          └──▶ snapshot, encoded once a change
//! ```
//!
//! There is no queue: a frame replaces the one before it, and a member that
//! missed one gets the newest rows changed since. Knows no HTTP and does no
//! arithmetic: a row is something that has a name, a number of its last
//! change, and a way to become bytes.

mod group;
mod messages;
mod snapshot;
mod subscription;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::wire::{Basis, Lang, Market, Publish, Quote, Reason, SourceId, VenueHealth, VenueState};

use group::{Group, GroupKey};

pub use group::{HEARTBEAT, Permit, Watcher};
pub use messages::{Answer, Messages};
pub use snapshot::Snapshot;
pub use subscription::{Member, Resume, Subscription};

/// Rows that nobody has looked after for so long are not live: the process was stopped, or the machine slept.
const UNWATCHED_MAX: Duration = Duration::from_secs(5);

/// Readers of the stream are told at most this often of a reason in which only figures have changed.
const REASON_EVERY: SignedDuration = SignedDuration::from_secs(10);

/// The newest rows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    epoch: String,
    /// Says whether somebody looks after the rows; without one they are taken as they are.
    clock: Option<Clock>,
    newest: Mutex<Newest>,
    snapshots: Mutex<HashMap<View, (u64, snapshot::Cell)>>,
    frames_encoded: AtomicU64,
    snapshots_encoded: AtomicU64,
    wakes: AtomicU64,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Newest {
    /// Rises by one with each batch that changed something.
    sequence: u64,
    /// Rises by one with each batch.
    version: u64,
    as_of: Option<Timestamp>,
    /// When somebody last looked after the rows, by the monotonic clock.
    watched: Duration,
    /// Whether rows are marked as stale because nobody did.
    lapsed: bool,
    rows: HashMap<SourceId, HashMap<Market, Entry>>,
    venues: Vec<Venue>,
    /// The groups, each with its number of members.
    groups: HashMap<GroupKey, (Arc<Group>, usize)>,
    /// The groups that show a market, by address: the only ones that its change wakes.
    shown_by: HashMap<(SourceId, Market), HashMap<usize, Arc<Group>>>,
}

#[derive(Debug, Clone)]
struct Entry {
    quote: Arc<Quote>,
    /// The sequence of its last change.
    changed: u64,
}

/// A venue, and what readers of the stream know of it.
#[derive(Debug)]
struct Venue {
    health: VenueHealth,
    /// The state, since when, and the reason, as last told.
    told: Option<(VenueState, Timestamp, Option<Reason>)>,
    told_at: Timestamp,
    /// The sequence of that.
    changed: u64,
}

impl Venue {
    /// Whether readers are to be told: at once of another state or kind of reason, at times of the figures in its message.
    fn is_news(&self, at: Timestamp) -> bool {
        let Some((state, since, reason)) = &self.told else { return true };
        let code = |reason: &Option<Reason>| reason.as_ref().map(|reason| reason.code);
        let health = &self.health;
        (*state, *since, code(reason)) != (health.state, health.since, code(&health.reason))
            || (*reason != health.reason && at.duration_since(self.told_at).abs() >= REASON_EVERY)
    }

    /// Returns the health with the sequence of what was last told of it.
    fn dated(&self) -> (u64, VenueHealth) {
        (self.changed, self.health.clone())
    }

    fn tell(&mut self, sequence: u64, at: Timestamp) {
        self.told = Some((self.health.state, self.health.since, self.health.reason.clone()));
        self.told_at = at;
        self.changed = sequence;
    }
}

/// Which rows, and how they are written. Two equal views are the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct View {
    /// The board, where one was asked for.
    pub board: Option<Arc<str>>,
    /// The rows, in order.
    pub rows: Arc<[(SourceId, Market)]>,
    /// What the changes are measured against.
    pub basis: Basis,
    /// The language of the texts.
    pub lang: Option<Lang>,
    /// Whether the prices are invented.
    pub demo: bool,
    /// What was asked for and is not known.
    pub missing: Arc<[String]>,
}

/// How much the hub has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Groups that have members.
    pub groups: usize,
    /// Members of all groups.
    pub members: usize,
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Frames encoded since the start.
    pub frames_encoded: u64,
    /// Snapshots encoded since the start.
    pub snapshots_encoded: u64,
    /// How often a group was woken to look for news, since the start.
    pub wakes: u64,
}

impl Hub {
    /// An empty hub; `epoch` names this life of the numbering.
    pub fn new(epoch: String) -> Self {
        Self::with(epoch, None)
    }

    /// An empty hub whose rows are live only for as long as [`Hub::watch`] is called.
    ///
    /// After a pause of the process readers may come before the board has looked at anything.
    pub fn watched(epoch: String, clock: Clock) -> Self {
        Self::with(epoch, Some(clock))
    }

    fn with(epoch: String, clock: Option<Clock>) -> Self {
        let watched = clock.as_ref().map(Clock::monotonic).unwrap_or_default();
        Self(Arc::new(Inner {
            epoch,
            clock,
            newest: Mutex::new(Newest { watched, ..Newest::default() }),
            snapshots: Mutex::default(),
            frames_encoded: AtomicU64::new(0),
            snapshots_encoded: AtomicU64::new(0),
            wakes: AtomicU64::new(0),
            tasks: TaskTracker::new(),
        }))
    }

    /// Returns the name of this life of the numbering.
    pub fn epoch(&self) -> &str {
        &self.0.epoch
    }

    /// Returns how far the rows are.
    pub fn sequence(&self) -> u64 {
        self.newest().sequence
    }

    /// Returns a number that rises with each batch, also with one that only confirms.
    pub fn version(&self) -> u64 {
        self.newest().version
    }

    /// Returns when the board last looked at the rows.
    pub fn as_of(&self) -> Option<Timestamp> {
        self.newest().as_of
    }

    /// Takes in a batch from the board.
    pub fn publish(&self, batch: Publish) {
        let woken = self.newest().take(batch);
        self.wake(&woken);
    }

    /// Has groups look for news.
    fn wake(&self, groups: &[Arc<Group>]) {
        groups.iter().for_each(|group| group.wake());
        self.0.wakes.fetch_add(u64::try_from(groups.len()).unwrap_or(0), Ordering::Relaxed);
    }

    /// Returns the newest rows of `markets` from `source`, in that order; those never published are left out.
    pub fn rows(&self, source: &SourceId, markets: &[Market]) -> Vec<Arc<Quote>> {
        self.find(markets.iter().map(|market| (source, market))).into_iter().flatten().collect()
    }

    /// Returns the newest row of each market from its source, where one was ever published, all of one moment.
    pub fn find<'a>(&self, each: impl Iterator<Item = (&'a SourceId, &'a Market)>) -> Vec<Option<Arc<Quote>>> {
        let newest = self.newest();
        each.map(|(source, market)| newest.find(source, market).map(|entry| entry.quote.clone())).collect()
    }

    /// Returns the newest row of a market from a source, if one was ever published.
    pub fn row(&self, source: &SourceId, market: &Market) -> Option<Arc<Quote>> {
        self.newest().find(source, market).map(|entry| entry.quote.clone())
    }

    /// Returns a source that has published a market, the first by name.
    pub fn source_of(&self, market: &Market) -> Option<SourceId> {
        let newest = self.newest();
        newest.rows.iter().filter(|(_, rows)| rows.contains_key(market)).map(|(source, _)| source.clone()).min()
    }

    /// Returns the newest row of every market and source, by market.
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

    /// Removes a group that has failed: whoever asks for the same from now on gets a new one.
    fn forget(&self, failed: &Arc<Group>) {
        let mut newest = self.newest();
        if newest.groups.get(failed.key()).is_some_and(|(group, _)| Arc::ptr_eq(group, failed)) {
            newest.remove(failed);
        }
    }

    /// Returns how much there is to do, for metrics and tests.
    pub fn load(&self) -> Load {
        let newest = self.newest();
        Load {
            groups: newest.groups.len(),
            members: newest.groups.values().map(|(_, members)| members).sum(),
            tasks: self.0.tasks.len(),
            frames_encoded: self.0.frames_encoded.load(Ordering::Relaxed),
            snapshots_encoded: self.0.snapshots_encoded.load(Ordering::Relaxed),
            wakes: self.0.wakes.load(Ordering::Relaxed),
        }
    }

    /// Notes that the rows are looked after at `now`, by the monotonic clock; returns whether they were not for so long
    /// that they are marked as stale: then all of them are to be published once more.
    pub fn watch(&self, now: Duration) -> bool {
        let mut newest = self.newest();
        newest.watched = newest.watched.max(now);
        std::mem::take(&mut newest.lapsed)
    }

    // Held for a few lines and never across an await.
    fn newest(&self) -> MutexGuard<'_, Newest> {
        let lock = || self.0.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut newest = lock();
        let Some(clock) = self.0.clock.as_ref().filter(|_| !newest.lapsed) else { return newest };
        if clock.monotonic().saturating_sub(newest.watched) <= UNWATCHED_MAX {
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
    /// Takes in a batch; returns the groups that show something of it.
    fn take(&mut self, batch: Publish) -> Vec<Arc<Group>> {
        let Publish { at, changed, confirmed, venues } = batch;
        self.version += 1;
        self.as_of = Some(at);
        // A row that is confirmed before it was ever published is news to every reader.
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
                None => self.venues.push(Venue { health, told: None, told_at: at, changed: 0 }),
            }
        }
        let is_news = self.venues.iter().any(|venue| venue.is_news(at));
        if changed.is_empty() && unseen.is_empty() && !is_news {
            return Vec::new();
        }
        self.sequence += 1;
        for venue in self.venues.iter_mut().filter(|venue| venue.is_news(at)) {
            venue.tell(self.sequence, at);
        }
        // Which venues a group reads is not kept, since their state seldom changes.
        let mut woken = if is_news { self.all_groups() } else { Vec::new() };
        woken.retain(|group| group.mark(self.sequence));
        for quote in changed.into_iter().chain(unseen) {
            let key = (quote.source.clone(), quote.market.clone());
            let showing = self.shown_by.get(&key).into_iter().flat_map(HashMap::values);
            woken.extend(showing.filter(|group| group.mark(self.sequence)).cloned());
            let (source, market) = key;
            self.rows.entry(source).or_default().insert(market, Entry { quote, changed: self.sequence });
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

    fn lapse(&mut self) {
        self.lapsed = true;
        let next = self.sequence + 1;
        for entry in self.rows.values_mut().flat_map(HashMap::values_mut) {
            if let Some(stale) = entry.quote.unwatched() {
                *entry = Entry { quote: Arc::new(stale), changed: next };
                self.sequence = next;
            }
        }
        self.version += u64::from(self.sequence == next);
    }

    fn find(&self, source: &SourceId, market: &Market) -> Option<&Entry> {
        self.rows.get(source)?.get(market)
    }
}
