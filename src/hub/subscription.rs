//! A member's place in its group.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::group::{Frame, Group, GroupKey, statuses};
use super::{Hub, View};
use crate::wire::{self, Id, VenueState};

/// Where a client was when it left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// In which life of the numbering.
    pub epoch: String,
    /// The last `sequence` that it was told.
    pub sequence: u64,
}

/// One subscriber. Leaves its group when dropped; the last one ends it.
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    group: Arc<Group>,
    key: GroupKey,
    frames: watch::Receiver<Arc<Frame>>,
    /// The last sequence that the member was told.
    seen: u64,
}

impl Hub {
    /// Joins the group of a view, and returns the messages to begin with.
    ///
    /// They are the rows changed since, if `resume` is of this epoch and not of
    /// its future, else a snapshot. Nothing falls between them and what
    /// [`Subscription::next`] gives. `interval` is the shortest time between
    /// two frames. Must be called within a tokio runtime.
    pub fn subscribe(
        &self,
        view: View,
        interval: Duration,
        id: Option<&Id>,
        resume: Option<&Resume>,
    ) -> (Subscription, Vec<Bytes>) {
        let key = GroupKey { view, interval };
        let mut newest = self.newest();
        let answerable = resume.filter(|resume| resume.epoch == self.epoch() && resume.sequence <= newest.sequence);
        let group = match newest.groups.get_mut(&key) {
            Some((group, members)) => {
                *members += 1;
                group.clone()
            }
            None => {
                let group = Arc::new(Group::new(key.clone(), &newest));
                newest.groups.insert(key.clone(), (group.clone(), 1));
                self.0.tasks.spawn(group.clone().run(self.clone(), self.0.changes.subscribe()));
                group
            }
        };
        let frames = group.frames();
        let seen = newest.sequence;
        let down: Vec<_> =
            newest.venues_of(&key.view).filter(|(_, health)| health.state != VenueState::Up).cloned().collect();
        let draft = answerable.is_none().then(|| self.draft(&newest, &key.view));
        drop(newest);

        let mut subscription = Subscription { hub: self.clone(), group, key, frames, seen };
        let texts = match (answerable, draft) {
            (Some(resume), _) => subscription.resume(resume.sequence, id),
            (None, None) => Vec::new(),
            (None, Some(draft)) => {
                let snapshot = self.encode(&subscription.key.view, draft);
                let recovered = resume.map(|_| false);
                let mut texts = vec![wire::snapshot_message(id, recovered, &snapshot.body).into()];
                texts.extend(statuses(self, snapshot.sequence, &down));
                texts
            }
        };
        (subscription, texts)
    }
}

impl Subscription {
    /// Waits for news and returns the messages that continue what the member knows.
    ///
    /// They are the same bytes for every member that kept up. One that did not
    /// gets the newest rows in one message, however long it was away. Safe to
    /// drop and call again.
    pub async fn next(&mut self) -> Arc<[Bytes]> {
        loop {
            if self.frames.changed().await.is_err() {
                // The group lives as long as its members, so its sender does.
                std::future::pending::<()>().await;
            }
            let frame = self.frames.borrow_and_update().clone();
            let fits = frame.previous == self.seen || (frame.heartbeat && frame.previous < self.seen);
            if fits && frame.sequence >= self.seen {
                self.seen = frame.sequence;
                return frame.texts.clone();
            }
            if frame.sequence > self.seen {
                let catch_up = self.group.catch_up(&self.hub, self.seen);
                self.seen = catch_up.sequence;
                return catch_up.texts;
            }
        }
    }

    /// Returns the last sequence that the member was told.
    pub fn sequence(&self) -> u64 {
        self.seen
    }

    fn resume(&mut self, since: u64, id: Option<&Id>) -> Vec<Bytes> {
        let catch_up = self.group.catch_up(&self.hub, since);
        self.seen = catch_up.sequence;
        let mut texts = catch_up.texts.to_vec();
        if let Some(first) = texts.first_mut() {
            *first = wire::delta_message(id, Some(true), &catch_up.body).into();
        }
        texts
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut newest = self.hub.newest();
        let Some((group, members)) = newest.groups.get_mut(&self.key) else { return };
        *members = members.saturating_sub(1);
        if *members == 0 {
            group.end();
            newest.groups.remove(&self.key);
        }
    }
}
