//! Joining a group, and members that wait for updates.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::group::{Frame, Group, GroupKey, GroupPermit, encode_statuses};
use super::state::{Hub, Member, Shared};
use super::update::InitialState;
use super::view::RowsView;
use crate::api::{RequestId, VenueState};
use crate::bus::VersionedHealth;

/// Position from which a client resumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The epoch of the sequence.
    pub epoch: String,
    /// The last sequence that the client received.
    pub sequence: u64,
}

/// Member that waits for updates asynchronously.
#[derive(Debug)]
pub struct Subscription {
    member: Member,
    frames: watch::Receiver<Arc<Frame>>,
    /// The last sequence returned to the member.
    sequence: u64,
    /// The revision that its view is from.
    revision: u64,
}

impl Hub {
    /// Joins the group of a view and returns its initial state.
    ///
    /// The initial state holds the rows changed since `resume` if that is a position of this epoch from which a client
    /// may resume ([`crate::bus::Rows::may_resume_from`]), else a snapshot. No change is lost between it and what
    /// [`fanout::Member::update_since`] returns for its sequence. `interval` is the minimum time between two frames.
    /// Must be called within a tokio runtime.
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
}

impl Member {
    /// Joins the group of a view: see [`Hub::join`].
    pub(super) fn join<E>(
        shared: &Arc<Shared>,
        view: RowsView,
        interval: Duration,
        resume: Option<&Resume>,
        admit: impl FnOnce(usize) -> Result<Option<GroupPermit>, E>,
    ) -> Result<(Self, InitialState, watch::Receiver<Arc<Frame>>), E> {
        let key = GroupKey::new(&view, interval);
        shared.replica.check_silence();
        let mut groups = shared.groups();
        let rows = shared.replica.read();
        let is_known =
            |resume: &&Resume| resume.epoch == shared.encoding.epoch && rows.may_resume_from(resume.sequence);
        let known = resume.filter(is_known);
        let group = match groups.by_key.get_mut(&key) {
            Some((group, members)) => {
                *members += 1;
                group.clone()
            }
            None => {
                let permit = admit(groups.by_key.len())?;
                let group = Arc::new(Group::new(key.clone(), &rows, permit));
                groups.add(&group);
                shared.tasks.spawn(shared.clone().supervise(group.clone()));
                group
            }
        };
        // While the rows are locked, so that no frame is missed.
        let frames = group.frames();
        let is_down = |venue: &&VersionedHealth| venue.health.state != VenueState::Up;
        let down: Vec<_> = key.view.venues(&rows).filter(is_down).cloned().collect();
        let draft = known.is_none().then(|| shared.snapshots.draft(&rows, &view));
        drop(rows);
        drop(groups);

        let member = Self { shared: shared.clone(), group, missing: view.missing.clone() };
        let initial = match draft {
            None => member.recover(known.map_or(u64::MAX, |resume| resume.sequence)),
            Some(draft) => {
                let snapshot = draft.encode(&shared.encoding, &view);
                let group = member.group.id();
                InitialState {
                    sequence: snapshot.sequence,
                    kind: "snapshot",
                    recovered: resume.map(|_| false),
                    group,
                    statuses: encode_statuses(&shared.encoding, group, snapshot.sequence, &down).collect(),
                    body: snapshot.shared_body,
                    // The body lists them already.
                    missing: Arc::default(),
                }
            }
        };
        Ok((member, initial, frames))
    }

    /// Returns the rows changed after `since` as the initial state of a resumed subscription.
    pub fn recover(&self, since: u64) -> InitialState {
        let catch_up = self.group.catch_up(&self.shared.encoding, since);
        InitialState {
            sequence: catch_up.sequence,
            kind: "delta",
            recovered: Some(true),
            group: self.group.id(),
            body: catch_up.body,
            missing: self.missing.clone(),
            statuses: catch_up.messages.texts().iter().skip(1).cloned().collect(),
        }
    }
}

impl Subscription {
    /// Joins the group of a view: see [`Hub::try_subscribe`].
    pub(super) fn join<E>(
        shared: &Arc<Shared>,
        view: RowsView,
        interval: Duration,
        id: Option<&RequestId>,
        resume: Option<&Resume>,
        admit: impl FnOnce(usize) -> Result<Option<GroupPermit>, E>,
    ) -> Result<(Self, Vec<Bytes>), E> {
        let revision = shared.replica.revision();
        let (member, initial, frames) = Member::join(shared, view, interval, resume, admit)?;
        Ok((Self { member, frames, sequence: initial.sequence, revision }, initial.texts(id)))
    }

    /// Waits for the next update and returns its JSON messages; `None` if the revision has risen
    /// ([`Subscription::take_revision`]), or if the group has failed and the client must be closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Arc<[Bytes]>> {
        loop {
            self.frames.changed().await.ok()?;
            if self.member.group.has_failed() {
                return None;
            }
            self.frames.mark_unchanged();
            let update = self.member.newest_since(self.sequence);
            // Checked after the update was read: one from after the revision would move a member with an outdated view
            // to a sequence from which it could resume.
            if self.member.shared.replica.revision() != self.revision {
                return None;
            }
            if let Some((sequence, messages)) = update {
                self.sequence = sequence;
                return Some(messages.texts().clone());
            }
        }
    }

    /// Returns whether the revision has risen since the last call, or since the member joined. The member may continue
    /// if the fingerprint of its view is still the same ([`Hub::fingerprint`]); else it has to join again.
    pub fn take_revision(&mut self) -> bool {
        let revision = self.member.shared.replica.revision();
        self.frames.mark_changed();
        std::mem::replace(&mut self.revision, revision) != revision
    }

    /// Returns the last sequence returned to the member.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}
