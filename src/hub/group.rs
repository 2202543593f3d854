//! Group of subscribers that get the same bytes: one task that encodes each frame once.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use fanout::Watcher;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::update::{EncodedUpdate, Encoding, SharedBody};
use super::view::{Changes, RowsView};
use crate::api::{self, Delta, GroupId, Heartbeat, MessageHead, Row, RowDelta, Status};
use crate::bus::{Rows, VersionedHealth, VersionedRow};

/// Maximum time between two frames of a group.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// Maximum number of catch-up messages cached per frame, one for each sequence that members fell behind at.
const CATCH_UPS_MAX: usize = 64;

/// Key of a group: subscribers with equal keys get the same bytes at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct GroupKey {
    /// The view with sorted rows, and without the fields that only a snapshot contains.
    pub view: RowsView,
    /// The minimum time between two frames.
    pub interval: Duration,
}

impl GroupKey {
    pub fn new(view: &RowsView, interval: Duration) -> Self {
        let mut rows = view.rows.to_vec();
        rows.sort_unstable();
        rows.dedup();
        Self {
            view: RowsView {
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

    /// Returns an id that is the same for equal keys in every process.
    fn id(&self) -> GroupId {
        let RowsView { rows, basis, lang, .. } = &self.view;
        let lang = lang.map_or_else(String::new, |lang| lang.to_string());
        let mut text = format!("{basis} {lang} {}", self.interval.as_millis());
        for (source, market) in rows.iter() {
            text += &format!(" {} {market}", source.as_str());
        }
        GroupId(api::fingerprint(text.as_bytes()))
    }
}

/// Permit that a group holds until it ends.
pub type GroupPermit = Box<dyn Any + Send + Sync>;

/// State shared by the members and the task of a group.
#[derive(Debug)]
pub(super) struct Group {
    key: GroupKey,
    id: GroupId,
    newest: watch::Sender<Arc<Frame>>,
    /// Wakes the task when rows or venues may have changed.
    changed: Notify,
    /// The sequence that the task was last woken for.
    woken_for: AtomicU64,
    sent: Mutex<Sent>,
    /// Callbacks for new frames: one for each delivery thread that has members.
    watchers: Mutex<Vec<Weak<dyn Watcher>>>,
    ended: CancellationToken,
    failed: AtomicBool,
    /// Permit of the member that created the group.
    _permit: Option<GroupPermit>,
}

/// One frame of a group: the step from one sequence to the next, encoded.
#[derive(Debug)]
pub(super) struct Frame {
    /// The sequence of a member to which this frame applies.
    pub previous: u64,
    /// The sequence of the member after it.
    pub sequence: u64,
    /// Whether it is a heartbeat, without rows or venues.
    pub is_heartbeat: bool,
    pub messages: Arc<EncodedUpdate>,
}

/// State of a member that has received every frame.
#[derive(Debug)]
struct Sent {
    sequence: u64,
    rows: Vec<Option<SentRow>>,
    venues: Vec<VersionedHealth>,
    catch_ups: HashMap<u64, CatchUp>,
}

#[derive(Debug)]
struct SentRow {
    row: Row,
    changed: u64,
}

/// The newest rows for a member that missed frames, encoded.
#[derive(Debug, Clone)]
pub(super) struct CatchUp {
    /// The sequence of the member after it.
    pub sequence: u64,
    /// The rows as the body of a message, without its head.
    pub body: SharedBody,
    /// The complete messages.
    pub messages: Arc<EncodedUpdate>,
}

impl Group {
    /// Creates a group whose members start from the state in `newest`.
    pub(super) fn new(key: GroupKey, newest: &Rows<'_>, permit: Option<GroupPermit>) -> Self {
        let view = &key.view;
        let sent_row =
            |row: &VersionedRow| SentRow { row: Row::new(&row.quote, view.basis, view.lang), changed: row.changed };
        let sent = Sent {
            sequence: newest.sequence(),
            rows: view.rows.iter().map(|(source, market)| newest.published(source, market).map(sent_row)).collect(),
            venues: view.venues(newest).cloned().collect(),
            catch_ups: HashMap::new(),
        };
        let sequence = sent.sequence;
        // A placeholder that applies to no member and is never sent.
        let messages = Arc::new(EncodedUpdate::new([]));
        let newest =
            watch::Sender::new(Arc::new(Frame { previous: u64::MAX, sequence, is_heartbeat: false, messages }));
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

    /// Calls `watcher` for each new frame until it is dropped.
    pub(super) fn add_watcher(&self, watcher: &Arc<dyn Watcher>) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|watcher| watcher.strong_count() > 0);
        watchers.push(Arc::downgrade(watcher));
    }

    /// Returns a receiver of the newest frame.
    pub(super) fn frames(&self) -> watch::Receiver<Arc<Frame>> {
        self.newest.subscribe()
    }

    /// Wakes the task to check for changes.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Records that the group is woken for this sequence; returns whether it was not already.
    pub(super) fn mark_woken(&self, sequence: u64) -> bool {
        self.woken_for.swap(sequence, Ordering::Relaxed) != sequence
    }

    /// Ends the task.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    /// Returns whether the task has failed: no more frames follow, and the members must be closed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Returns whether the last member has left.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Closes the members after the task has failed.
    pub(super) fn fail(&self) {
        tracing::error!(
            markets = self.key.view.rows.len(),
            "encoding the updates of a group failed; its clients are closed with code 3011"
        );
        self.failed.store(true, Ordering::SeqCst);
        self.wake_members();
    }

    /// Wakes the members, although there is no new frame.
    pub(super) fn wake_members(&self) {
        self.newest.send_modify(|_| ());
        self.notify_watchers();
    }

    /// Encodes a frame after each change, at most one per interval, and a heartbeat when idle, until the last
    /// member leaves. `changes` returns what has changed of a view since a sequence.
    pub(super) async fn run(&self, encoding: &Encoding, changes: impl Fn(&RowsView, u64) -> Changes) {
        let mut idle = std::pin::pin!(tokio::time::sleep(HEARTBEAT));
        loop {
            let sent = tokio::select! {
                biased;
                () = self.ended.cancelled() => return,
                () = self.changed.notified() => self.encode_changes(encoding, &changes),
                () = &mut idle => self.heartbeat(encoding, &changes),
            };
            if !sent {
                continue;
            }
            self.notify_watchers();
            idle.set(tokio::time::sleep(HEARTBEAT));
            if !self.key.interval.is_zero() {
                tokio::select! {
                    () = self.ended.cancelled() => return,
                    () = tokio::time::sleep(self.key.interval) => {}
                }
            }
        }
    }

    /// Returns what has changed since the last frame, and forgets rows that no longer exist: if one returns, it is
    /// sent complete.
    fn changes(&self, changes: impl Fn(&RowsView, u64) -> Changes) -> Changes {
        let since = self.sent().sequence;
        let changes = changes(&self.key.view, since);
        let mut sent = self.sent();
        for &index in &changes.absent {
            if let Some(row) = sent.rows.get_mut(index) {
                *row = None;
            }
        }
        changes
    }

    /// Publishes a frame of everything that changed since the last one; returns whether anything changed.
    fn encode_changes(&self, encoding: &Encoding, changes: impl Fn(&RowsView, u64) -> Changes) -> bool {
        let changes = self.changes(changes);
        let mut sent = self.sent();
        let mut changed_rows = Vec::new();
        for (index, entry) in changes.rows {
            let row = Row::new(&entry.quote, self.key.view.basis, self.key.view.lang);
            let old = sent.rows.get(index).and_then(Option::as_ref);
            if old.is_none_or(|old| !has_same_content(&old.row, &row)) {
                changed_rows.push((index, SentRow { row, changed: entry.changed }));
            }
        }
        if changed_rows.is_empty() && changes.venues.is_empty() {
            return false;
        }
        let (previous, sequence) = (sent.sequence, changes.sequence);
        let mut texts = Vec::with_capacity(1 + changes.venues.len());
        if !changed_rows.is_empty() {
            let old = |index: usize| sent.rows.get(index).and_then(Option::as_ref).map(|old| &old.row);
            let rows: Vec<_> =
                changed_rows.iter().map(|(index, new)| RowDelta { old: old(*index), new: &new.row }).collect();
            let body = api::json(&Delta { epoch: &encoding.epoch, sequence, previous, rows: &rows });
            texts.push(self.delta(&body));
        }
        texts.extend(encode_statuses(encoding, self.id, sequence, &changes.venues));
        sent.apply(sequence, changed_rows, changes.venues);
        let messages = Arc::new(EncodedUpdate::new(texts));
        self.publish(encoding, Frame { previous, sequence, is_heartbeat: false, messages });
        true
    }

    /// Publishes a heartbeat, or the changes that the task has not been woken for yet.
    fn heartbeat(&self, encoding: &Encoding, changes: impl Fn(&RowsView, u64) -> Changes) -> bool {
        let Changes { sequence, as_of, rows, venues, .. } = self.changes(&changes);
        if !rows.is_empty() || !venues.is_empty() {
            // They changed a moment ago, or only in fields that this view does not show.
            return self.encode_changes(encoding, changes) || self.publish_heartbeat(encoding, sequence, as_of);
        }
        self.publish_heartbeat(encoding, sequence, as_of)
    }

    fn publish_heartbeat(&self, encoding: &Encoding, sequence: u64, as_of: Option<Timestamp>) -> bool {
        let mut sent = self.sent();
        let previous = sent.sequence;
        let text = api::json(&Heartbeat { group: self.id, epoch: &encoding.epoch, sequence, as_of });
        sent.apply(sequence, Vec::new(), Vec::new());
        let messages = Arc::new(EncodedUpdate::new([text.into()]));
        self.publish(encoding, Frame { previous, sequence, is_heartbeat: true, messages });
        true
    }

    fn delta(&self, body: &[u8]) -> Bytes {
        let mut text = MessageHead { kind: "delta", id: None, recovered: None, group: self.id, missing: &[] }.encode();
        text.extend_from_slice(body.get(1..).unwrap_or_default());
        text.into()
    }

    // Called with `sent` locked, so that no member sees a frame that `sent` does not include.
    fn publish(&self, encoding: &Encoding, frame: Frame) {
        encoding.frames_encoded.fetch_add(1, Ordering::Relaxed);
        self.newest.send_replace(Arc::new(frame));
    }

    /// Notifies the watchers of a new frame.
    fn notify_watchers(&self) {
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.iter().filter_map(Weak::upgrade).for_each(|watcher| watcher.changed());
    }

    /// Returns the update for a member at sequence `seen` and its new sequence; `None` if there is none.
    pub(super) fn update_since(&self, encoding: &Encoding, seen: u64) -> Option<(u64, Arc<EncodedUpdate>)> {
        let frame = self.newest.borrow();
        let applies = frame.previous == seen || (frame.is_heartbeat && frame.previous < seen);
        if applies && frame.sequence >= seen && (frame.is_heartbeat || frame.sequence > seen) {
            return Some((frame.sequence, frame.messages.clone()));
        }
        let is_behind = frame.sequence > seen;
        drop(frame);
        is_behind.then(|| {
            let catch_up = self.catch_up(encoding, seen);
            (catch_up.sequence, catch_up.messages)
        })
    }

    /// Returns the complete newest rows of those that changed after `since`.
    pub(super) fn catch_up(&self, encoding: &Encoding, since: u64) -> CatchUp {
        let mut sent = self.sent();
        if let Some(cached) = sent.catch_ups.get(&since) {
            return cached.clone();
        }
        // A member may be ahead of the newest frame if its snapshot was newer.
        let sequence = sent.sequence.max(since);
        let newer = sent.rows.iter().flatten().filter(|row| row.changed > since);
        let rows: Vec<_> = newer.map(|sent| RowDelta { old: None, new: &sent.row }).collect();
        let body = Bytes::from(api::json(&Delta { epoch: &encoding.epoch, sequence, previous: since, rows: &rows }));
        let venues: Vec<_> = sent.venues.iter().filter(|venue| venue.changed > since).cloned().collect();
        let mut texts = vec![self.delta(&body)];
        texts.extend(encode_statuses(encoding, self.id, sequence, &venues));
        let catch_up =
            CatchUp { sequence, body: SharedBody::new(&body), messages: Arc::new(EncodedUpdate::new(texts)) };
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
    /// Applies what a new frame contains.
    fn apply(&mut self, sequence: u64, rows: Vec<(usize, SentRow)>, venues: Vec<VersionedHealth>) {
        self.sequence = sequence;
        self.catch_ups.clear();
        for (index, row) in rows {
            if let Some(old) = self.rows.get_mut(index) {
                *old = Some(row);
            }
        }
        for venue in venues {
            self.venues.retain(|old| old.health.venue != venue.health.venue);
            self.venues.push(venue);
        }
    }
}

/// Returns whether two rows are equal apart from the time of confirmation.
fn has_same_content(old: &Row, new: &Row) -> bool {
    old == new || old.without_confirmation() == new.without_confirmation()
}

/// Encodes the status messages of `venues`.
pub(super) fn encode_statuses(
    encoding: &Encoding,
    group: GroupId,
    sequence: u64,
    venues: &[VersionedHealth],
) -> impl Iterator<Item = Bytes> {
    let status = move |health| api::json(&Status::new(group, &encoding.epoch, sequence, health)).into();
    venues.iter().map(move |venue| status(&venue.health))
}
