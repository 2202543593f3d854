//! A member's place in its group.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::group::{Frame, Group, GroupKey, Permit, statuses};
use super::messages::{Answer, Messages};
use super::{Hub, Venue, View};
use crate::wire::{Id, VenueState};

/// Where a client was when it left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// In which life of the numbering.
    pub epoch: String,
    /// The last `sequence` that it was told.
    pub sequence: u64,
}

/// A place in a group. Left when dropped; the last one ends the group.
#[derive(Debug)]
pub struct Member {
    hub: Hub,
    group: Arc<Group>,
    /// What it asked for and is not known.
    missing: Arc<[String]>,
}

/// A member that waits for its news, in a task of its own.
#[derive(Debug)]
pub struct Subscription {
    member: Member,
    frames: watch::Receiver<Arc<Frame>>,
    /// The last sequence that the member was told.
    seen: u64,
}

impl Hub {
    /// Joins the group of a view, and returns what to begin with.
    ///
    /// It is the rows changed since, if `resume` is of this epoch and not of
    /// its future, else a snapshot. Nothing falls between that and what
    /// [`Member::step`] gives for its sequence. `interval` is the shortest time
    /// between two frames. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// That of `admit`, which is called with the number of groups where there is no such group yet.
    pub fn join<E>(
        &self,
        view: View,
        interval: Duration,
        resume: Option<&Resume>,
        admit: impl FnOnce(usize) -> Result<Option<Permit>, E>,
    ) -> Result<(Member, Answer), E> {
        self.enter(view, interval, resume, admit).map(|(member, answer, _)| (member, answer))
    }

    /// [`Hub::join`] for a member that has a task of its own; also returns the messages to begin with.
    ///
    /// # Errors
    /// As [`Hub::join`].
    pub fn subscribe_if<E>(
        &self,
        view: View,
        interval: Duration,
        id: Option<&Id>,
        resume: Option<&Resume>,
        admit: impl FnOnce(usize) -> Result<Option<Permit>, E>,
    ) -> Result<(Subscription, Vec<Bytes>), E> {
        let (member, answer, frames) = self.enter(view, interval, resume, admit)?;
        Ok((Subscription { member, frames, seen: answer.sequence }, answer.texts(id)))
    }

    /// [`Hub::subscribe_if`], whoever asks.
    pub fn subscribe(
        &self,
        view: View,
        interval: Duration,
        id: Option<&Id>,
        resume: Option<&Resume>,
    ) -> (Subscription, Vec<Bytes>) {
        let Ok(subscribed) = self.subscribe_if(view, interval, id, resume, |_| Ok::<_, Infallible>(None));
        subscribed
    }

    fn enter<E>(
        &self,
        view: View,
        interval: Duration,
        resume: Option<&Resume>,
        admit: impl FnOnce(usize) -> Result<Option<Permit>, E>,
    ) -> Result<(Member, Answer, watch::Receiver<Arc<Frame>>), E> {
        let key = GroupKey::new(&view, interval);
        let mut newest = self.newest();
        let known = resume.filter(|resume| resume.epoch == self.epoch() && resume.sequence <= newest.sequence);
        let group = match newest.groups.get_mut(&key) {
            Some((group, members)) => {
                *members += 1;
                group.clone()
            }
            None => {
                let permit = admit(newest.groups.len())?;
                let group = Arc::new(Group::new(key.clone(), &newest, permit));
                newest.add(&group);
                self.0.tasks.spawn(group.clone().supervise(self.clone()));
                group
            }
        };
        // Before the rows can change again, so that no frame falls between.
        let frames = group.frames();
        let is_down = |venue: &&Venue| venue.health.state != VenueState::Up;
        let down: Vec<_> = newest.venues_of(&key.view).filter(is_down).map(Venue::dated).collect();
        let draft = known.is_none().then(|| self.draft(&newest, &view));
        drop(newest);

        let member = Member { hub: self.clone(), group, missing: view.missing.clone() };
        let answer = match draft {
            None => member.recover(known.map_or(u64::MAX, |resume| resume.sequence)),
            Some(draft) => {
                let snapshot = self.encode(&view, draft);
                let group = member.group.id();
                Answer {
                    sequence: snapshot.sequence,
                    kind: "snapshot",
                    recovered: resume.map(|_| false),
                    group,
                    statuses: statuses(self, group, snapshot.sequence, &down).collect(),
                    body: snapshot.rest,
                    // The body says it.
                    missing: Arc::default(),
                }
            }
        };
        Ok((member, answer, frames))
    }
}

impl Member {
    /// Returns the messages that continue what a member knows that was told `seen`, and how far it is after them.
    ///
    /// They are the same bytes for every member that kept up. One that did not
    /// gets the newest rows in one message, however long it was away. `None` if
    /// there is no news.
    pub fn step(&self, seen: u64) -> Option<(u64, Arc<Messages>)> {
        self.group.step(&self.hub, seen)
    }

    /// Returns the rows changed since, as the answer to a member that was told `since`.
    pub fn recover(&self, since: u64) -> Answer {
        let catch_up = self.group.catch_up(&self.hub, since);
        Answer {
            sequence: catch_up.sequence,
            kind: "delta",
            recovered: Some(true),
            group: self.group.id(),
            body: catch_up.body,
            missing: self.missing.clone(),
            statuses: catch_up.messages.texts().iter().skip(1).cloned().collect(),
        }
    }

    /// Whether its group has failed: nothing will be told any more, and the client must be closed.
    pub fn has_failed(&self) -> bool {
        self.group.has_failed()
    }

    /// Returns which rows it is told.
    pub fn view(&self) -> &View {
        &self.group.key().view
    }

    /// Returns a number that two members share if they are of one group, while both are.
    pub fn place(&self) -> usize {
        Arc::as_ptr(&self.group).addr()
    }

    /// Lets the group call whenever it has a new frame, until `watcher` is dropped.
    pub fn watch(&self, watcher: &Arc<dyn super::Watcher>) {
        self.group.watch(watcher);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut newest = self.hub.newest();
        // After a failure another group may have taken its place.
        let same = newest.groups.get_mut(self.group.key()).filter(|(group, _)| Arc::ptr_eq(group, &self.group));
        let Some((group, members)) = same else { return };
        *members = members.saturating_sub(1);
        if *members == 0 {
            group.end();
            newest.remove(&self.group);
        }
    }
}

impl Subscription {
    /// Waits for news and returns the messages that continue what the member knows. Safe to drop and call again.
    ///
    /// `None` if the group has failed: the client must be closed.
    pub async fn next(&mut self) -> Option<Arc<[Bytes]>> {
        loop {
            self.frames.changed().await.ok()?;
            if self.member.has_failed() {
                return None;
            }
            self.frames.mark_unchanged();
            if let Some((sequence, messages)) = self.member.step(self.seen) {
                self.seen = sequence;
                return Some(messages.texts().clone());
            }
        }
    }

    /// Returns the last sequence that the member was told.
    pub fn sequence(&self) -> u64 {
        self.seen
    }
}
