//! What a thread does most: a group's new frame to all its members. And what it does when a client's time has come.

use bytes::Bytes;

use super::Close;
use super::client::{Client, Taken};
use super::thread::{Thread, millis};
use super::timers::Millis;
use crate::websocket::{self, Opcode};

/// Wait before a client that is blocked is looked at again for its ping.
const PING_LATER: Millis = 1000;

/// Clients are pinged together that often, so that a thread wakes up once for all of them and their answers, not
/// three times for each.
const PINGS_EVERY: Millis = 250;

/// What members are told that are equally far: how far they are, and after it with which bytes.
struct Step {
    seen: u64,
    told: Option<(u64, Bytes)>,
}

impl Thread {
    /// Writes the newest of a group to every member that can take it; the others are told when they can.
    pub(super) fn deliver(&mut self, number: u32) {
        let Some(group) = self.groups.get_mut(number).filter(|group| group.mark.take()) else { return };
        if group.places.first().is_some_and(|place| place.member.has_failed()) {
            let keys: Vec<u32> = group.places.iter().map(|place| place.client).collect();
            for key in keys {
                if let Some(client) = self.clients.take(key) {
                    self.settle(key, client, Err(Close::Failure));
                }
            }
            return;
        }
        let mut broken = Vec::new();
        // Nearly all members are equally far, so this is asked once for each way of writing.
        let mut steps: [Option<Step>; 2] = [None, None];
        for place in &mut group.places {
            let Some(client) = self.clients.get_mut(place.client) else { continue };
            if client.blocked_at.is_some() {
                continue;
            }
            let Some(slot) = steps.get_mut(usize::from(client.deflate)) else { continue };
            let step = match slot {
                Some(step) if step.seen == place.seen => step,
                _ => {
                    let told = place.member.step(place.seen);
                    let told = told.map(|(sequence, messages)| (sequence, messages.frames(client.deflate).clone()));
                    slot.insert(Step { seen: place.seen, told })
                }
            };
            let Some((sequence, frame)) = &step.told else { continue };
            match client.offer(frame, self.now) {
                Ok(Taken::Begun) => place.seen = *sequence,
                Ok(Taken::Nothing) => {}
                Err(_) => broken.push(place.client),
            }
            if client.blocked_at.is_some() {
                let at = self.now + millis(self.settings.write_within);
                self.timers.arm(place.client, &mut client.armed, at);
            }
        }
        for key in broken {
            if let Some(client) = self.clients.take(key) {
                self.end(key, client, false);
            }
        }
    }

    /// Has a client looked at again when its next deadline is there.
    pub(super) fn arm(&mut self, key: u32, client: &mut Client) {
        let at = next(client, millis(self.settings.write_within));
        self.timers.arm(key, &mut client.armed, at);
    }

    /// Does what is due for a client.
    pub(super) fn due(&mut self, key: u32, at: Millis) {
        let Some(mut client) = self.clients.take(key) else { return };
        if client.armed != at {
            // Meant for an earlier plan, or for whoever had the number before.
            self.clients.put(key, client);
            return;
        }
        client.armed = Millis::MAX;
        let is_over = |deadline: Millis| deadline <= self.now;
        if client.closing_by.is_some_and(is_over) {
            return self.end(key, client, true);
        }
        let is_blocked = client.blocked_at.is_some();
        let is_slow = client.blocked_at.is_some_and(|since| is_over(since + millis(self.settings.write_within)));
        let result = if client.closing_by.is_some() {
            Ok(())
        } else if is_slow {
            Err(Close::Slow)
        } else if is_over(client.subscribe_by) {
            Err(Close::NoSubscription)
        } else if !is_blocked && client.pong_by.is_some_and(is_over) {
            Err(Close::NoPong)
        } else if is_over(client.ping_at) {
            self.ping(&mut client)
        } else {
            Ok(())
        };
        self.settle(key, client, result);
    }

    fn ping(&self, client: &mut Client) -> Result<(), Close> {
        if client.blocked_at.is_some() || client.pong_by.is_some() {
            client.ping_at = self.now + PING_LATER;
            return Ok(());
        }
        client.ping_at = ping_at(self.now + millis(self.settings.ping_every));
        client.pong_by = Some(self.now + millis(self.settings.pong_within));
        client.send([websocket::control_frame(Opcode::Ping, &[]).into()], self.now)?;
        Ok(())
    }
}

/// Returns when to ping a client whose turn is `at`: a little later, together with others.
pub(super) fn ping_at(at: Millis) -> Millis {
    at.next_multiple_of(PINGS_EVERY)
}

/// Returns a client's nearest deadline.
fn next(client: &Client, write_within: Millis) -> Millis {
    if let Some(by) = client.closing_by {
        return by;
    }
    let write = client.blocked_at.map(|since| since.saturating_add(write_within));
    let pong = client.pong_by.filter(|_| client.blocked_at.is_none());
    let rest = [write, pong].into_iter().flatten();
    rest.fold(client.subscribe_by.min(client.ping_at), Millis::min)
}
