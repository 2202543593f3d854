//! Broadcast of a group's newest frame to its members, and the deadlines of clients.

use super::clients;
use super::close::CloseReason;
use super::member::{Member as _, Watcher as _};
use super::service::Service;
use super::thread::{Client, Thread};
use super::timers::{Millis, align_ping, millis};
use crate::websocket::{self, Opcode};

/// Delay before the ping of a blocked client is tried again.
const PING_RETRY: Millis = 1000;

impl<S: Service> Thread<S> {
    /// Writes a group's newest frame to every member that is not blocked; the others get the newest state once their
    /// sockets are writable again.
    pub(super) fn broadcast(&mut self, number: u32) {
        let Some(group) = self.groups.get_mut(number).filter(|group| group.dirty.take()) else { return };
        if group.subscribers.first().is_some_and(|subscriber| subscriber.member.has_failed()) {
            let keys: Vec<u32> = group.subscribers.iter().map(|subscriber| subscriber.client).collect();
            for key in keys {
                if let Some(client) = self.clients.take(key) {
                    self.put_back_or_close(key, client, Err(CloseReason::ComponentFailed));
                }
            }
            return;
        }
        if let Some(revision) = group.new_revision() {
            group.revision = revision;
            let keys: Vec<u32> = group.subscribers.iter().map(|subscriber| subscriber.client).collect();
            for key in keys {
                if let Some(mut client) = self.clients.take(key) {
                    let result = self.revise(key, &mut client);
                    self.put_back_or_close(key, client, result);
                }
            }
        }
        // The group may have lost its members, and its number may have passed to another group.
        let Some(group) = self.groups.get_mut(number) else { return };
        let (timers, write_by) = (&mut self.timers, self.now + millis(self.settings.write_within));
        let broken = self.clients.broadcast(&mut group.subscribers, group.revision, self.now, |key, client| {
            timers.arm(key, &mut client.armed_deadline, write_by);
        });
        if group.new_revision().is_some() {
            group.dirty.changed();
        }
        for key in broken {
            if let Some(client) = self.clients.take(key) {
                self.disconnect(key, client, false);
            }
        }
    }

    /// Arms the timer for a client's next deadline.
    pub(super) fn arm(&mut self, key: u32, client: &mut Client<S>) {
        let at = next_deadline(client, millis(self.settings.write_within));
        self.timers.arm(key, &mut client.armed_deadline, at);
    }

    /// Handles a client's deadline `at`: closes, disconnects or pings the client.
    pub(super) fn handle_deadline(&mut self, key: u32, at: Millis) {
        let Some(mut client) = self.clients.take(key) else { return };
        if client.armed_deadline != at {
            // A superseded timer entry, or one of an earlier client with this key.
            self.clients.put(key, client);
            return;
        }
        client.armed_deadline = Millis::MAX;
        let is_due = |deadline: Millis| deadline <= self.now;
        if client.closing_by.is_some_and(is_due) {
            return self.disconnect(key, client, true);
        }
        let is_blocked = client.blocked_since.is_some();
        let is_slow = client.blocked_since.is_some_and(|since| is_due(since + millis(self.settings.write_within)));
        let result = if client.closing_by.is_some() {
            Ok(())
        } else if is_slow {
            Err(CloseReason::Slow)
        } else if is_due(client.subscribe_by) {
            Err(CloseReason::NoSubscription)
        } else if !is_blocked && client.pong_by.is_some_and(is_due) {
            Err(CloseReason::NoPong)
        } else if is_due(client.ping_at) {
            self.ping(&mut client)
        } else {
            Ok(())
        };
        self.put_back_or_close(key, client, result);
    }

    fn ping(&self, client: &mut Client<S>) -> Result<(), CloseReason> {
        if client.blocked_since.is_some() || client.pong_by.is_some() {
            client.ping_at = self.now + PING_RETRY;
            return Ok(());
        }
        client.ping_at = align_ping(self.now + millis(self.settings.ping_every));
        client.pong_by = Some(self.now + millis(self.settings.pong_within));
        client.send([websocket::control_frame(Opcode::Ping, &[]).into()], self.now)?;
        Ok(())
    }
}

/// Returns a client's nearest deadline.
fn next_deadline<I>(client: &clients::Client<I>, write_within: Millis) -> Millis {
    if let Some(by) = client.closing_by {
        return by;
    }
    let write = client.blocked_since.map(|since| since.saturating_add(write_within));
    let pong = client.pong_by.filter(|_| client.blocked_since.is_none());
    let rest = [write, pong].into_iter().flatten();
    rest.fold(client.subscribe_by.min(client.ping_at), Millis::min)
}
