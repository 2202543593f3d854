//! One client while it is spoken with: what it is told, and which groups it is in.

use std::any::Any;
use std::time::Duration;

use bytes::Bytes;

use super::client::Client;
use super::clients::Clients;
use super::groups::{Groups, Place};
use crate::hub::{Hub, Permit, Resume, View};
use crate::websocket;
use crate::wire::Id;

/// A client that has said something, or has just come.
#[derive(Debug)]
pub struct Exchange<'a> {
    pub(super) key: u32,
    pub(super) client: &'a mut Client,
    pub(super) clients: &'a mut Clients,
    pub(super) groups: &'a mut Groups,
    /// What it will be told, in order.
    pub(super) parts: Vec<Bytes>,
}

impl Exchange<'_> {
    /// Tells it a text.
    pub fn send(&mut self, text: &[u8]) {
        let mut frame = Vec::with_capacity(text.len() + 10);
        websocket::text_frame(&mut frame, text, self.client.deflate);
        self.parts.push(frame.into());
    }

    /// Tells it bytes.
    pub fn send_binary(&mut self, bytes: &[u8]) {
        let mut frame = Vec::new();
        websocket::frame(&mut frame, websocket::Opcode::Binary, false, bytes);
        self.parts.push(frame.into());
    }

    /// Returns its subscriptions: what it calls them, and which rows they are of.
    pub fn subscriptions(&self) -> impl Iterator<Item = (Option<&Id>, &View)> {
        self.client.subscriptions.iter().filter_map(|one| {
            let place = self.groups.place(one.group, one.position)?;
            Some((one.id.as_ref(), place.member.view()))
        })
    }

    /// Subscribes it, instead of to what it called the same, and answers with what to begin with.
    ///
    /// # Errors
    /// That of `admit`, which is called with the client's guard and the number of groups where a group must be made.
    pub fn join<E>(
        &mut self,
        hub: &Hub,
        id: Option<Id>,
        view: View,
        interval: Duration,
        resume: Option<&Resume>,
        admit: impl FnOnce(&(dyn Any + Send), usize) -> Result<Option<Permit>, E>,
    ) -> Result<(), E> {
        let guard = self.client.guard();
        let (member, mut answer) = hub.join(view, interval, resume, |groups| admit(guard, groups))?;
        let old = self.client.subscriptions.iter().position(|one| one.id == id);
        let known = self.groups.find(&member).and_then(|group| {
            let one = self.client.subscriptions.iter().find(|one| one.group == group)?;
            Some((group, one.position))
        });
        let (group, position) = match known {
            Some((group, position)) => {
                if let Some(place) = self.groups.place_mut(group, position) {
                    if answer.is_recovery() && resume.is_some_and(|resume| resume.sequence > place.seen) {
                        // What it is told next goes on from here, for the other subscription as well.
                        answer = member.recover(place.seen);
                    }
                    place.seen = place.seen.max(answer.sequence);
                }
                (group, position)
            }
            None => self.groups.enter(Place { client: self.key, seen: answer.sequence, member }),
        };
        self.parts.extend(answer.frames(id.as_ref(), self.client.deflate));
        match old.and_then(|old| self.client.subscriptions.get(old)) {
            Some(one) if one.group == group => {}
            one => {
                let replaced = one.is_some();
                if replaced {
                    self.leave(id.as_ref());
                }
                self.client.subscribe(id, group, position);
            }
        }
        Ok(())
    }

    /// Ends the subscription that it calls so; does nothing if there is none.
    pub fn leave(&mut self, id: Option<&Id>) {
        self.client.leave(id, self.groups, self.clients);
    }
}
