//! Context of one client during a callback: its outgoing messages and its subscriptions.

use std::any::Any;

use bytes::Bytes;

use super::clients::{Client, Clients, Subscriber};
use super::groups::Groups;
use super::member::Member;
use crate::websocket;

/// Context of the client that a callback is about. Messages are queued and written when the callback returns.
#[derive(Debug)]
pub struct ClientContext<'a, I, M> {
    pub(super) key: u32,
    pub(super) client: &'a mut Client<I>,
    pub(super) clients: &'a mut Clients<I>,
    pub(super) groups: &'a mut Groups<M>,
    /// Frames to write, in order.
    pub(super) outgoing: Vec<Bytes>,
}

impl<I: PartialEq, M: Member> ClientContext<'_, I, M> {
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

    /// Returns the client's admission permit.
    pub fn guard(&self) -> &(dyn Any + Send) {
        self.client.guard()
    }

    /// Returns whether permessage-deflate was negotiated.
    pub fn deflate(&self) -> bool {
        self.client.deflate
    }

    /// Returns the client's subscriptions: the id and the membership of each.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&I, &M)> {
        self.client.subscriptions.iter().filter_map(|one| {
            let subscriber = self.groups.subscriber(one.group, one.position)?;
            Some((&one.id, &subscriber.member))
        })
    }

    /// Returns the last sequence sent to the client by the group of `member`, if the client is subscribed to it.
    pub fn sequence_in_group_of(&self, member: &M) -> Option<u64> {
        let (group, position) = self.membership(member)?;
        Some(self.groups.subscriber(group, position)?.sequence)
    }

    /// Subscribes the client, replacing any subscription with the same id, and queues the initial state: complete
    /// WebSocket frames, after which the client is at `sequence`.
    pub fn subscribe(&mut self, id: I, member: M, sequence: u64, frames: impl IntoIterator<Item = Bytes>) {
        let (group, position) = match self.membership(&member) {
            Some((group, position)) => {
                if let Some(subscriber) = self.groups.subscriber_mut(group, position) {
                    subscriber.sequence = subscriber.sequence.max(sequence);
                }
                (group, position)
            }
            None => self.groups.add(Subscriber { client: self.key, sequence, member }),
        };
        self.outgoing.extend(frames);
        let replaced = self.client.subscriptions.iter_mut().find(|one| one.id == id);
        match replaced {
            Some(one) if one.group == group => {
                one.id = id;
                return;
            }
            Some(_) => self.unsubscribe(&id),
            None => {}
        }
        self.client.subscribe(id, group, position);
    }

    /// Ends the subscription with this id; does nothing if there is none.
    pub fn unsubscribe(&mut self, id: &I) {
        self.groups.unsubscribe(self.client, id, self.clients);
    }

    /// Returns the group of `member` on this thread and the client's position in it, if it has one.
    fn membership(&self, member: &M) -> Option<(u32, u32)> {
        let group = self.groups.find(member)?;
        let one = self.client.subscriptions.iter().find(|one| one.group == group)?;
        Some((group, one.position))
    }
}
