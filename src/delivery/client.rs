//! One client at rest: a socket, its places in groups, and when to look at it. No buffer.

use std::any::Any;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write as _};

use bytes::{Buf as _, Bytes};
use mio::net::TcpStream;

use super::clients::Clients;
use super::groups::Groups;
use super::timers::Millis;
use crate::websocket::Inbound;
use crate::wire::Id;

/// Most parts handed to the kernel in one write.
const PARTS_MAX: usize = 8;

/// A second.
const SECOND: Millis = 1000;

#[derive(Debug)]
pub(super) struct Client {
    pub stream: TcpStream,
    /// Dropped with the client: its place among those that may be there.
    guard: Box<dyn Any + Send>,
    pub subscriptions: Vec<Subscribed>,
    pub inbound: Inbound,
    /// What the socket did not take of what has begun. Nothing, most of the time.
    #[expect(clippy::box_collection, reason = "it is nearly always absent, and takes 8 bytes then instead of 32")]
    rest: Option<Box<VecDeque<Bytes>>>,
    /// Since when the socket takes nothing.
    pub blocked_at: Option<Millis>,
    /// The nearest moment at which it is looked at.
    pub armed: Millis,
    /// When it must have subscribed; never, once it has.
    pub subscribe_by: Millis,
    /// When it is pinged next.
    pub ping_at: Millis,
    /// When it must have answered the ping that is on its way.
    pub pong_by: Option<Millis>,
    /// When it must have closed, if it is to.
    pub closing_by: Option<Millis>,
    /// The start of the second that messages are counted in.
    second: Millis,
    messages: u32,
    /// Whether its messages may be compressed.
    pub deflate: bool,
    /// Whether there is something to read that was left there.
    pub is_readable: bool,
    /// Whether what it says no longer matters.
    pub is_deaf: bool,
    /// Whether it said that it closes.
    pub has_closed: bool,
}

/// One subscription of a client.
#[derive(Debug)]
pub(super) struct Subscribed {
    pub id: Option<Id>,
    /// The group, of this thread.
    pub group: u32,
    /// Its place among the group's members.
    pub position: u32,
}

/// How much of a frame a socket took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// All of it, or a beginning whose rest is kept: it will be told the frame.
    Begun,
    /// Nothing: the frame is not kept.
    Nothing,
}

impl Client {
    pub fn new(stream: TcpStream, guard: Box<dyn Any + Send>, deflate: bool) -> Self {
        Self {
            stream,
            guard,
            subscriptions: Vec::new(),
            inbound: Inbound::default(),
            rest: None,
            blocked_at: None,
            armed: Millis::MAX,
            subscribe_by: Millis::MAX,
            ping_at: Millis::MAX,
            pong_by: None,
            closing_by: None,
            second: 0,
            messages: 0,
            deflate,
            is_readable: false,
            is_deaf: false,
            has_closed: false,
        }
    }

    /// Returns it as one that has just come, for another poller; what was begun is still to be written.
    pub fn without_subscriptions(self) -> Self {
        let stream = TcpStream::from_std(self.stream.into());
        Self { rest: self.rest, blocked_at: self.blocked_at, ..Self::new(stream, self.guard, self.deflate) }
    }

    /// Returns what it was admitted with.
    pub fn guard(&self) -> &(dyn Any + Send) {
        &*self.guard
    }

    /// Notes a subscription; its place is taken already.
    pub fn subscribe(&mut self, id: Option<Id>, group: u32, position: u32) {
        self.subscribe_by = Millis::MAX;
        // Most have one for their whole life.
        self.subscriptions.reserve_exact(1);
        self.subscriptions.push(Subscribed { id, group, position });
    }

    /// Ends the subscription of that name, and leaves its group if no other is of it.
    pub fn leave(&mut self, id: Option<&Id>, groups: &mut Groups, clients: &mut Clients) {
        let Some(at) = self.subscriptions.iter().position(|one| one.id.as_ref() == id) else { return };
        self.leave_at(at, groups, clients);
    }

    /// Ends every subscription.
    pub fn leave_all(&mut self, groups: &mut Groups, clients: &mut Clients) {
        while !self.subscriptions.is_empty() {
            self.leave_at(0, groups, clients);
        }
        self.subscriptions = Vec::new();
    }

    fn leave_at(&mut self, at: usize, groups: &mut Groups, clients: &mut Clients) {
        let left = self.subscriptions.swap_remove(at);
        if !self.subscriptions.iter().any(|one| one.group == left.group) {
            groups.leave(left.group, left.position, clients);
        }
    }

    /// Whether something of what was begun is still to be written.
    pub fn has_rest(&self) -> bool {
        self.rest.is_some()
    }

    /// Writes a group's frame, if nothing is in its way.
    pub fn offer(&mut self, frame: &Bytes, now: Millis) -> io::Result<Taken> {
        if self.blocked_at.is_some() {
            return Ok(Taken::Nothing);
        }
        match write(&mut self.stream, frame)? {
            count if count == frame.len() => {}
            0 => {
                self.blocked_at = Some(now);
                return Ok(Taken::Nothing);
            }
            count => {
                self.blocked_at = Some(now);
                self.rest = Some(Box::new(VecDeque::from([frame.slice(count..)])));
            }
        }
        Ok(Taken::Begun)
    }

    /// Writes what must not be lost; what the socket does not take is kept.
    pub fn send(&mut self, parts: impl IntoIterator<Item = Bytes>, now: Millis) -> io::Result<()> {
        let mut queue = self.rest.take().map(|rest| *rest).unwrap_or_default();
        queue.extend(parts);
        let is_free = self.blocked_at.is_none();
        self.rest = Some(Box::new(queue));
        if is_free { self.flush(now).map(|_| ()) } else { Ok(()) }
    }

    /// Writes what was kept; returns whether all of it is written. A refused write blocks from now on.
    pub fn flush(&mut self, now: Millis) -> io::Result<bool> {
        while let Some(rest) = &mut self.rest {
            while rest.front().is_some_and(Bytes::is_empty) {
                rest.pop_front();
            }
            if rest.is_empty() {
                self.rest = None;
                break;
            }
            let mut slices = [IoSlice::new(&[]); PARTS_MAX];
            slices.iter_mut().zip(rest.iter()).for_each(|(slice, part)| *slice = IoSlice::new(part));
            let mut count = match self.stream.write_vectored(&slices) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked_at.get_or_insert(now);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            };
            for part in rest.iter_mut() {
                let step = count.min(part.len());
                part.advance(step);
                count -= step;
            }
        }
        Ok(true)
    }

    /// Goes on after it was blocked: a pong could not be asked for meanwhile.
    pub fn unblock(&mut self, now: Millis) {
        let blocked = self.blocked_at.take().map_or(0, |since| now.saturating_sub(since));
        if let Some(pong_by) = &mut self.pong_by {
            *pong_by = pong_by.saturating_add(blocked);
        }
    }

    /// Counts what it sent; returns whether it is too much for a second.
    pub fn sends_too_much(&mut self, now: Millis, most: u32) -> bool {
        if now.saturating_sub(self.second) >= SECOND || self.messages == 0 {
            (self.second, self.messages) = (now, 0);
        }
        self.messages = self.messages.saturating_add(1);
        self.messages > most
    }
}

/// Returns how many bytes the socket took; 0 if it would have to wait.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match stream.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            written => return written,
        }
    }
}
