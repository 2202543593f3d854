//! Context of one client during a callback: its outgoing messages and its subscriptions.

use std::any::Any;
use std::time::Duration;

use bytes::Bytes;

use super::client::Client;
use super::clients::Clients;
use super::groups::{Groups, Subscriber};
use crate::api::RequestId;
use crate::hub::{GroupPermit, Hub, Resume, RowsView};
use crate::websocket;

/// Context of the client that a callback is about. Messages are queued and written when the callback returns.
#[derive(Debug)]
pub struct ClientContext<'a> {
    pub(super) key: u32,
    pub(super) client: &'a mut Client,
    pub(super) clients: &'a mut Clients,
    pub(super) groups: &'a mut Groups,
    /// Frames to write, in order.
    pub(super) outgoing: Vec<Bytes>,
}

impl ClientContext<'_> {
    /// Queues a text message.
    pub fn send(&mut self, text: &[u8]) {
        let mut frame = Vec::with_capacity(text.len() + 10);
        websocket::write_text_frame(&mut frame, text, self.client.deflate);
        self.outgoing.push(frame.into());
    }

    /// Queues a binary message.
    pub fn send_binary(&mut self, bytes: &[u8]) {
        let mut frame = Vec::new();
        websocket::write_frame(&mut frame, websocket::Opcode::Binary, false, bytes);
        self.outgoing.push(frame.into());
    }

    /// Returns the client's subscriptions: the id and the rows of each.
    pub fn subscriptions(&self) -> impl Iterator<Item = (Option<&RequestId>, &RowsView)> {
        self.client.subscriptions.iter().filter_map(|one| {
            let subscriber = self.groups.subscriber(one.group, one.position)?;
            Some((one.id.as_ref(), subscriber.member.view()))
        })
    }

    /// Subscribes the client, replacing any subscription with the same id, and queues the initial state.
    ///
    /// # Errors
    /// Returns the error of `admit`, which is called with the client's admission permit and the number of
    /// groups if a new group is needed.
    pub fn subscribe<E>(
        &mut self,
        hub: &Hub,
        id: Option<RequestId>,
        view: RowsView,
        interval: Duration,
        resume: Option<&Resume>,
        admit: impl FnOnce(&(dyn Any + Send), usize) -> Result<Option<GroupPermit>, E>,
    ) -> Result<(), E> {
        let guard = self.client.guard();
        let (member, mut initial) = hub.join(view, interval, resume, |groups| admit(guard, groups))?;
        let old = self.client.subscriptions.iter().position(|one| one.id == id);
        let existing = self.groups.find(&member).and_then(|group| {
            let one = self.client.subscriptions.iter().find(|one| one.group == group)?;
            Some((group, one.position))
        });
        let (group, position) = match existing {
            Some((group, position)) => {
                if let Some(subscriber) = self.groups.subscriber_mut(group, position) {
                    if initial.is_recovery() && resume.is_some_and(|resume| resume.sequence > subscriber.sequence) {
                        // The next update continues from this sequence for the other subscription too.
                        initial = member.recover(subscriber.sequence);
                    }
                    subscriber.sequence = subscriber.sequence.max(initial.sequence);
                }
                (group, position)
            }
            None => self.groups.add(Subscriber { client: self.key, sequence: initial.sequence, member }),
        };
        self.outgoing.extend(initial.frames(id.as_ref(), self.client.deflate));
        match old.and_then(|old| self.client.subscriptions.get(old)) {
            Some(one) if one.group == group => {}
            one => {
                let replaced = one.is_some();
                if replaced {
                    self.unsubscribe(id.as_ref());
                }
                self.client.subscribe(id, group, position);
            }
        }
        Ok(())
    }

    /// Ends the subscription with this id; does nothing if there is none.
    pub fn unsubscribe(&mut self, id: Option<&RequestId>) {
        self.client.unsubscribe(id, self.groups, self.clients);
    }
}
