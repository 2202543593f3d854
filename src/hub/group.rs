//! Subscribers that get the same bytes: one task, one newest frame.

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::messages::{Body, Messages};
use super::{Entry, Hub, Newest, Venue, View};
use crate::failpoint;
use crate::wire::{self, Delta, GroupId, Head, Heartbeat, Row, RowDelta, Status, VenueHealth};

/// Longest silence of a group.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// Most ways of having fallen behind one frame whose bytes are kept for the next member that fell behind alike.
const CATCH_UPS_MAX: usize = 64;

/// What makes two subscribers get the same bytes at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct GroupKey {
    /// With its rows in one order, and without what only a snapshot says.
    pub view: View,
    /// The shortest time between two frames.
    pub interval: Duration,
}

impl GroupKey {
    pub fn new(view: &View, interval: Duration) -> Self {
        let mut rows = view.rows.to_vec();
        rows.sort_unstable();
        rows.dedup();
        Self {
            view: View {
                board: None,
                rows: rows.into(),
                basis: view.basis,
                lang: view.lang,
                demo: false,
                missing: [].into(),
            },
            interval,
        }
    }

    /// Returns the same number for the same key, in every process.
    fn id(&self) -> GroupId {
        let View { rows, basis, lang, .. } = &self.view;
        let lang = lang.map_or_else(String::new, |lang| lang.to_string());
        let mut text = format!("{basis} {lang} {}", self.interval.as_millis());
        for (source, market) in rows.iter() {
            text += &format!(" {} {market}", source.as_str());
        }
        GroupId(wire::fingerprint(text.as_bytes()))
    }
}

/// Somebody to call when a group has a new frame. Called with nothing locked that a member may need.
pub trait Watcher: std::fmt::Debug + Send + Sync {
    /// There is a new frame.
    fn changed(&self);
}

/// What a group holds for as long as it lives.
pub type Permit = Box<dyn Any + Send + Sync>;

#[derive(Debug)]
pub(super) struct Group {
    key: GroupKey,
    id: GroupId,
    newest: watch::Sender<Arc<Frame>>,
    /// Says that there may be news.
    changed: Notify,
    /// The sequence that it was last woken for.
    woken_for: AtomicU64,
    sent: Mutex<Sent>,
    /// Those to call for a new frame: one for each thread that has members.
    watchers: Mutex<Vec<Weak<dyn Watcher>>>,
    ended: CancellationToken,
    failed: AtomicBool,
    /// What its first member was admitted with.
    _permit: Option<Permit>,
}

/// One step of a group, as the messages of a stream.
#[derive(Debug)]
pub(super) struct Frame {
    /// How far a member must be for these bytes to continue what it knows.
    pub previous: u64,
    /// How far it is after them.
    pub sequence: u64,
    /// Whether they hold no news.
    pub heartbeat: bool,
    pub messages: Arc<Messages>,
}

/// What a member knows that has had every frame.
#[derive(Debug)]
struct Sent {
    sequence: u64,
    rows: Vec<Option<SentRow>>,
    venues: Vec<(u64, VenueHealth)>,
    catch_ups: HashMap<u64, CatchUp>,
}

#[derive(Debug)]
struct SentRow {
    row: Row,
    changed: u64,
}

/// The newest rows for a member that missed frames.
#[derive(Debug, Clone)]
pub(super) struct CatchUp {
    /// How far the member is after it.
    pub sequence: u64,
    /// The rows without the head of the message.
    pub body: Body,
    /// Everything, as messages.
    pub messages: Arc<Messages>,
}

/// What there is to say.
struct News {
    sequence: u64,
    as_of: Option<Timestamp>,
    rows: Vec<(usize, Entry)>,
    venues: Vec<(u64, VenueHealth)>,
}

impl Newest {
    /// Returns what changed in a view after `since`.
    fn news(&self, view: &View, since: u64) -> News {
        let places = view.rows.iter().enumerate();
        let found = places.filter_map(|(place, (source, market))| Some((place, self.find(source, market)?)));
        News {
            sequence: self.sequence,
            as_of: self.as_of,
            rows: found
                .filter(|(_, entry)| entry.changed > since)
                .map(|(place, entry)| (place, entry.clone()))
                .collect(),
            venues: self.venues_of(view).filter(|venue| venue.changed > since).map(Venue::dated).collect(),
        }
    }

    /// Returns the venues that a view can take rows from.
    pub(super) fn venues_of<'a>(&'a self, view: &'a View) -> impl Iterator<Item = &'a Venue> {
        let feeds = |name: &str| view.rows.iter().any(|(source, _)| source.as_str().split(',').any(|one| one == name));
        self.venues.iter().filter(move |venue| feeds(venue.health.venue.as_str()))
    }
}

impl Group {
    /// Makes a group whose members know everything that `newest` says.
    pub(super) fn new(key: GroupKey, newest: &Newest, permit: Option<Permit>) -> Self {
        let view = &key.view;
        let row =
            |entry: &Entry| SentRow { row: Row::new(&entry.quote, view.basis, view.lang), changed: entry.changed };
        let sent = Sent {
            sequence: newest.sequence,
            rows: view.rows.iter().map(|(source, market)| newest.find(source, market).map(row)).collect(),
            venues: newest.venues_of(view).map(Venue::dated).collect(),
            catch_ups: HashMap::new(),
        };
        let sequence = sent.sequence;
        // No member is behind it, so nobody is ever told it.
        let messages = Arc::new(Messages::new([]));
        let newest = watch::Sender::new(Arc::new(Frame { previous: u64::MAX, sequence, heartbeat: false, messages }));
        let id = key.id();
        Self {
            key,
            id,
            newest,
            changed: Notify::new(),
            woken_for: AtomicU64::new(0),
            sent: Mutex::new(sent),
            watchers: Mutex::default(),
            ended: CancellationToken::new(),
            failed: AtomicBool::new(false),
            _permit: permit,
        }
    }

    pub(super) fn key(&self) -> &GroupKey {
        &self.key
    }

    pub(super) fn id(&self) -> GroupId {
        self.id
    }

    /// Calls `watcher` for each frame from now on, until it is gone.
    pub(super) fn watch(&self, watcher: &Arc<dyn Watcher>) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|watcher| watcher.strong_count() > 0);
        watchers.push(Arc::downgrade(watcher));
    }

    pub(super) fn frames(&self) -> watch::Receiver<Arc<Frame>> {
        self.newest.subscribe()
    }

    /// Has the task look for news.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Notes that it is woken for this sequence; returns whether that is new.
    pub(super) fn mark(&self, sequence: u64) -> bool {
        self.woken_for.swap(sequence, Ordering::Relaxed) != sequence
    }

    /// Lets the task end.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    /// Whether its task has failed: there are no more frames, and its members must be closed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// [`Group::run`]; should it fail, the group leaves the hub and its members are told.
    pub(super) async fn supervise(self: Arc<Self>, hub: Hub) {
        let work = failpoint::part("group", self.clone().run(hub.clone()));
        let _ = AssertUnwindSafe(work).catch_unwind().await;
        if self.ended.is_cancelled() {
            return;
        }
        hub.forget(&self);
        tracing::error!(
            markets = self.key.view.rows.len(),
            "encoding the updates of a subscription failed; its clients are closed with code 3011"
        );
        self.failed.store(true, Ordering::SeqCst);
        self.newest.send_modify(|_| ());
        self.call();
    }

    /// Encodes a frame after each change, at most one an interval, until the last member left.
    pub(super) async fn run(self: Arc<Self>, hub: Hub) {
        let mut silence = std::pin::pin!(tokio::time::sleep(HEARTBEAT));
        loop {
            let sent = tokio::select! {
                biased;
                () = self.ended.cancelled() => return,
                () = self.changed.notified() => self.beat(&hub),
                () = &mut silence => self.heartbeat(&hub),
            };
            if !sent {
                continue;
            }
            self.call();
            silence.set(tokio::time::sleep(HEARTBEAT));
            if !self.key.interval.is_zero() {
                tokio::select! {
                    () = self.ended.cancelled() => return,
                    () = tokio::time::sleep(self.key.interval) => {}
                }
            }
        }
    }

    /// Makes the frame of everything that changed since the last one; returns whether there was anything to say.
    fn beat(&self, hub: &Hub) -> bool {
        let since = self.sent().sequence;
        let news = hub.newest().news(&self.key.view, since);
        let mut sent = self.sent();
        let mut fresh = Vec::new();
        for (place, entry) in news.rows {
            let row = Row::new(&entry.quote, self.key.view.basis, self.key.view.lang);
            let known = sent.rows.get(place).and_then(Option::as_ref);
            if known.is_none_or(|known| !reads_alike(&known.row, &row)) {
                fresh.push((place, SentRow { row, changed: entry.changed }));
            }
        }
        if fresh.is_empty() && news.venues.is_empty() {
            return false;
        }
        let (previous, sequence) = (sent.sequence, news.sequence);
        let mut texts = Vec::with_capacity(1 + news.venues.len());
        if !fresh.is_empty() {
            let known = |place: usize| sent.rows.get(place).and_then(Option::as_ref).map(|known| &known.row);
            let rows: Vec<_> =
                fresh.iter().map(|(place, new)| RowDelta { old: known(*place), new: &new.row }).collect();
            let body = wire::json(&Delta { epoch: hub.epoch(), sequence, previous, rows: &rows });
            texts.push(self.delta(&body));
        }
        texts.extend(statuses(hub, self.id, sequence, &news.venues));
        sent.learn(sequence, fresh, news.venues);
        let messages = Arc::new(Messages::new(texts));
        self.send(hub, Frame { previous, sequence, heartbeat: false, messages });
        true
    }

    /// Says that nothing changed.
    fn heartbeat(&self, hub: &Hub) -> bool {
        let since = self.sent().sequence;
        let News { sequence, as_of, rows, venues } = hub.newest().news(&self.key.view, since);
        if !rows.is_empty() || !venues.is_empty() {
            // They changed a moment ago, or in something that this view does not show.
            return self.beat(hub) || self.say_alive(hub, sequence, as_of);
        }
        self.say_alive(hub, sequence, as_of)
    }

    fn say_alive(&self, hub: &Hub, sequence: u64, as_of: Option<Timestamp>) -> bool {
        let mut sent = self.sent();
        let previous = sent.sequence;
        let text = wire::json(&Heartbeat { group: self.id, epoch: hub.epoch(), sequence, as_of });
        sent.learn(sequence, Vec::new(), Vec::new());
        let messages = Arc::new(Messages::new([text.into()]));
        self.send(hub, Frame { previous, sequence, heartbeat: true, messages });
        true
    }

    fn delta(&self, body: &[u8]) -> Bytes {
        let mut text = Head { kind: "delta", id: None, recovered: None, group: self.id, missing: &[] }.text();
        text.extend_from_slice(body.get(1..).unwrap_or_default());
        text.into()
    }

    // Called with `sent` locked, so that no member sees a frame that `sent` does not know.
    fn send(&self, hub: &Hub, frame: Frame) {
        hub.0.frames_encoded.fetch_add(1, Ordering::Relaxed);
        self.newest.send_replace(Arc::new(frame));
    }

    /// Tells the watchers that there is a new frame.
    fn call(&self) {
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.iter().filter_map(Weak::upgrade).for_each(|watcher| watcher.changed());
    }

    /// Returns what continues the knowledge of a member that was told `seen`, if there is news for it.
    pub(super) fn step(&self, hub: &Hub, seen: u64) -> Option<(u64, Arc<Messages>)> {
        let frame = self.newest.borrow();
        let fits = frame.previous == seen || (frame.heartbeat && frame.previous < seen);
        if fits && frame.sequence >= seen && (frame.heartbeat || frame.sequence > seen) {
            return Some((frame.sequence, frame.messages.clone()));
        }
        let is_behind = frame.sequence > seen;
        drop(frame);
        is_behind.then(|| {
            let catch_up = self.catch_up(hub, seen);
            (catch_up.sequence, catch_up.messages)
        })
    }

    /// Returns the newest of the rows that changed after `since`, whole.
    pub(super) fn catch_up(&self, hub: &Hub, since: u64) -> CatchUp {
        let mut sent = self.sent();
        if let Some(kept) = sent.catch_ups.get(&since) {
            return kept.clone();
        }
        // A member may be ahead: its snapshot was newer than the newest frame.
        let sequence = sent.sequence.max(since);
        let newer = sent.rows.iter().flatten().filter(|row| row.changed > since);
        let rows: Vec<_> = newer.map(|sent| RowDelta { old: None, new: &sent.row }).collect();
        let body = Bytes::from(wire::json(&Delta { epoch: hub.epoch(), sequence, previous: since, rows: &rows }));
        let venues: Vec<_> = sent.venues.iter().filter(|(changed, _)| *changed > since).cloned().collect();
        let mut texts = vec![self.delta(&body)];
        texts.extend(statuses(hub, self.id, sequence, &venues));
        let catch_up = CatchUp { sequence, body: Body::new(&body), messages: Arc::new(Messages::new(texts)) };
        if sent.catch_ups.len() < CATCH_UPS_MAX {
            sent.catch_ups.insert(since, catch_up.clone());
        }
        catch_up
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sent {
    fn learn(&mut self, sequence: u64, rows: Vec<(usize, SentRow)>, venues: Vec<(u64, VenueHealth)>) {
        self.sequence = sequence;
        self.catch_ups.clear();
        for (place, row) in rows {
            if let Some(known) = self.rows.get_mut(place) {
                *known = Some(row);
            }
        }
        for (changed, health) in venues {
            self.venues.retain(|(_, old)| old.venue != health.venue);
            self.venues.push((changed, health));
        }
    }
}

/// Whether two rows say the same, whenever it was confirmed.
fn reads_alike(old: &Row, new: &Row) -> bool {
    old == new || old.timeless() == new.timeless()
}

pub(super) fn statuses(
    hub: &Hub,
    group: GroupId,
    sequence: u64,
    venues: &[(u64, VenueHealth)],
) -> impl Iterator<Item = Bytes> {
    venues.iter().map(move |(_, health)| wire::json(&Status::new(group, hub.epoch(), sequence, health)).into())
}
