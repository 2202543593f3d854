//! The clients of a thread: sockets, subscriptions, deadlines. An idle client has no buffer.

use std::any::Any;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write as _};

use bytes::{Buf as _, Bytes};
use mio::Token;
use mio::net::TcpStream;

use super::member::Member;
use super::timers::Millis;
use crate::websocket::Reassembler;

/// Maximum number of slices in one vectored write.
const SLICES_MAX: usize = 8;

/// Window of the message rate limit.
const RATE_WINDOW: Millis = 1000;

/// State of one client.
#[derive(Debug)]
pub(super) struct Client<I> {
    pub stream: TcpStream,
    /// Admission permit, released when the client is dropped.
    guard: Box<dyn Any + Send>,
    pub subscriptions: Vec<ClientSubscription<I>>,
    pub inbound: Reassembler,
    /// Bytes of started frames that the socket has not accepted yet; nearly always absent.
    #[expect(clippy::box_collection, reason = "nearly always absent, and then 8 bytes instead of 32")]
    unsent: Option<Box<VecDeque<Bytes>>>,
    /// Since when the socket accepts no more data.
    pub blocked_since: Option<Millis>,
    /// The nearest deadline that a timer is armed for; `Millis::MAX` if none.
    pub armed_deadline: Millis,
    /// Deadline of the first subscription; `Millis::MAX` once subscribed.
    pub subscribe_by: Millis,
    /// Time of the next ping.
    pub ping_at: Millis,
    /// Deadline of the pong, while a ping is outstanding.
    pub pong_by: Option<Millis>,
    /// Deadline of the peer's close, once we have started to close.
    pub closing_by: Option<Millis>,
    /// Start of the current window of the message rate limit.
    window_start: Millis,
    messages_in_window: u32,
    /// Whether permessage-deflate was negotiated.
    pub deflate: bool,
    /// Whether the socket may hold unread data.
    pub is_readable: bool,
    /// Whether a revision could not be handled, because the client was blocked, see [`Member::revision`].
    pub awaits_revision: bool,
    /// Whether input is read and discarded.
    pub ignores_input: bool,
    /// Whether the client has sent a close frame.
    pub has_closed: bool,
}

/// One subscription of a client.
#[derive(Debug)]
pub(super) struct ClientSubscription<I> {
    pub id: I,
    /// Number of the group within this thread.
    pub group: u32,
    /// Index into the group's members.
    pub position: u32,
}

/// Whether a socket accepted a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OfferResult {
    /// The frame was written, or started: its remainder is queued and will be written.
    Accepted,
    /// Nothing was written and the frame is not queued.
    Blocked,
}

/// One client's membership in a group.
#[derive(Debug)]
pub(super) struct Subscriber<M> {
    /// Key of the client.
    pub client: u32,
    /// The last sequence sent to the client.
    pub sequence: u64,
    pub member: M,
}

/// One entry of the slab; reused by later clients.
#[derive(Debug)]
struct Slot<I> {
    /// Rises with each client, so that a late event of an earlier client is not taken for this one's.
    generation: u32,
    client: Option<Client<I>>,
}

/// Slab of a thread's clients, indexed by key.
#[derive(Debug)]
pub(super) struct Clients<I> {
    slots: Vec<Slot<I>>,
    free: Vec<u32>,
    count: usize,
}

/// Cached result for all members at one sequence: the next sequence and the bytes to send.
struct CachedUpdate {
    since: u64,
    update: Option<(u64, Bytes)>,
}

impl<I> Client<I> {
    pub fn new(stream: TcpStream, guard: Box<dyn Any + Send>, deflate: bool) -> Self {
        Self {
            stream,
            guard,
            subscriptions: Vec::new(),
            inbound: Reassembler::default(),
            unsent: None,
            blocked_since: None,
            armed_deadline: Millis::MAX,
            subscribe_by: Millis::MAX,
            ping_at: Millis::MAX,
            pong_by: None,
            closing_by: None,
            window_start: 0,
            messages_in_window: 0,
            deflate,
            is_readable: false,
            awaits_revision: false,
            ignores_input: false,
            has_closed: false,
        }
    }

    /// Resets everything but the socket, the permit and the unsent bytes, for registration with another poller.
    pub fn without_subscriptions(self) -> Self {
        let stream = TcpStream::from_std(self.stream.into());
        Self { unsent: self.unsent, blocked_since: self.blocked_since, ..Self::new(stream, self.guard, self.deflate) }
    }

    /// Returns the admission permit.
    pub fn guard(&self) -> &(dyn Any + Send) {
        &*self.guard
    }

    /// Records a subscription whose group membership exists already.
    pub fn subscribe(&mut self, id: I, group: u32, position: u32) {
        self.subscribe_by = Millis::MAX;
        // Most clients only ever have one subscription.
        self.subscriptions.reserve_exact(1);
        self.subscriptions.push(ClientSubscription { id, group, position });
    }

    /// Returns whether bytes of started frames are still to be written.
    pub fn has_unsent(&self) -> bool {
        self.unsent.is_some()
    }

    /// Writes a group's frame, unless the client is blocked.
    pub fn offer(&mut self, frame: &Bytes, now: Millis) -> io::Result<OfferResult> {
        if self.blocked_since.is_some() {
            return Ok(OfferResult::Blocked);
        }
        match write(&mut self.stream, frame)? {
            count if count == frame.len() => {}
            0 => {
                self.blocked_since = Some(now);
                return Ok(OfferResult::Blocked);
            }
            count => {
                self.blocked_since = Some(now);
                self.unsent = Some(Box::new(VecDeque::from([frame.slice(count..)])));
            }
        }
        Ok(OfferResult::Accepted)
    }

    /// Writes frames that must not be dropped; queues what the socket does not accept.
    pub fn send(&mut self, parts: impl IntoIterator<Item = Bytes>, now: Millis) -> io::Result<()> {
        let mut queue = self.unsent.take().map(|unsent| *unsent).unwrap_or_default();
        queue.extend(parts);
        let is_free = self.blocked_since.is_none();
        self.unsent = Some(Box::new(queue));
        if is_free { self.flush(now).map(|_| ()) } else { Ok(()) }
    }

    /// Writes queued bytes; returns whether all were written. Marks the client as blocked if the socket is full.
    pub fn flush(&mut self, now: Millis) -> io::Result<bool> {
        while let Some(unsent) = &mut self.unsent {
            while unsent.front().is_some_and(Bytes::is_empty) {
                unsent.pop_front();
            }
            if unsent.is_empty() {
                self.unsent = None;
                break;
            }
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            slices.iter_mut().zip(unsent.iter()).for_each(|(slice, part)| *slice = IoSlice::new(part));
            let mut count = match self.stream.write_vectored(&slices) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked_since.get_or_insert(now);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            };
            for part in unsent.iter_mut() {
                let written = count.min(part.len());
                part.advance(written);
                count -= written;
            }
        }
        Ok(true)
    }

    /// Ends the blocked state and extends the pong deadline by its duration, since reading paused, too.
    pub fn unblock(&mut self, now: Millis) {
        let blocked = self.blocked_since.take().map_or(0, |since| now.saturating_sub(since));
        if let Some(pong_by) = &mut self.pong_by {
            *pong_by = pong_by.saturating_add(blocked);
        }
    }

    /// Counts one message; returns whether more than `max` were received in the current one-second window.
    pub fn exceeds_message_rate(&mut self, now: Millis, max: u32) -> bool {
        if now.saturating_sub(self.window_start) >= RATE_WINDOW || self.messages_in_window == 0 {
            (self.window_start, self.messages_in_window) = (now, 0);
        }
        self.messages_in_window = self.messages_in_window.saturating_add(1);
        self.messages_in_window > max
    }
}

impl<I> Default for Clients<I> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), count: 0 }
    }
}

impl<I> Clients<I> {
    /// Reserves a free key; its entry stays empty until [`Clients::put`].
    pub fn reserve(&mut self) -> u32 {
        self.count += 1;
        if let Some(key) = self.free.pop() {
            return key;
        }
        let key = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { generation: 0, client: None });
        key
    }

    /// Frees a key and drops its client, if present.
    pub fn release(&mut self, key: u32) {
        if let Some(slot) = self.slots.get_mut(index(key)) {
            slot.generation = slot.generation.wrapping_add(1);
            slot.client = None;
            self.free.push(key);
            self.count -= 1;
        }
    }

    /// Takes a client out temporarily; its key stays reserved.
    pub fn take(&mut self, key: u32) -> Option<Client<I>> {
        self.slots.get_mut(index(key))?.client.take()
    }

    /// Puts a client at its key.
    pub fn put(&mut self, key: u32, client: Client<I>) {
        if let Some(slot) = self.slots.get_mut(index(key)) {
            slot.client = Some(client);
        }
    }

    pub fn get_mut(&mut self, key: u32) -> Option<&mut Client<I>> {
        self.slots.get_mut(index(key))?.client.as_mut()
    }

    /// Returns the poller token of a key: generation and key.
    pub fn token(&self, key: u32) -> Token {
        let generation = self.slots.get(index(key)).map_or(0, |slot| slot.generation);
        Token(index(generation) << 32 | index(key))
    }

    /// Returns the key of an event's token, unless the token belongs to an earlier client.
    pub fn key(&self, token: Token) -> Option<u32> {
        let key = u32::try_from(token.0 & 0xFFFF_FFFF).ok()?;
        (self.token(key) == token).then_some(key)
    }

    /// Returns the keys of all clients.
    pub fn keys(&self) -> Vec<u32> {
        let occupied = self.slots.iter().enumerate().filter(|(_, slot)| slot.client.is_some());
        occupied.filter_map(|(key, _)| u32::try_from(key).ok()).collect()
    }

    /// Removes and returns all clients.
    pub fn drain(&mut self) -> Vec<Client<I>> {
        let clients = self.slots.drain(..).filter_map(|slot| slot.client).collect();
        *self = Self::default();
        clients
    }

    /// Writes the newest frame of a group to every member that is not blocked; the others get the newest state once
    /// their sockets are writable again.
    ///
    /// Stops when the members have another revision than `revision`, so that no member gets an update from after it.
    ///
    /// Calls `on_blocked` for each client whose socket accepts no more data; returns the keys of those whose
    /// connection is broken.
    pub fn broadcast<M: Member>(
        &mut self,
        subscribers: &mut [Subscriber<M>],
        revision: u64,
        now: Millis,
        mut on_blocked: impl FnMut(u32, &mut Client<I>),
    ) -> Vec<u32> {
        let mut broken = Vec::new();
        // Nearly all members are at the same sequence, so the update is computed once, compressed and not.
        let mut cached: [Option<CachedUpdate>; 2] = [None, None];
        for subscriber in subscribers {
            let Some(client) = self.get_mut(subscriber.client) else { continue };
            if client.blocked_since.is_some() {
                continue;
            }
            let Some(entry) = cached.get_mut(usize::from(client.deflate)) else { continue };
            let current = match entry {
                Some(current) if current.since == subscriber.sequence => current,
                _ => {
                    let update = subscriber.member.update_since(subscriber.sequence, client.deflate);
                    if subscriber.member.revision() != revision {
                        break;
                    }
                    entry.insert(CachedUpdate { since: subscriber.sequence, update })
                }
            };
            let Some((sequence, frame)) = &current.update else { continue };
            match client.offer(frame, now) {
                Ok(OfferResult::Accepted) => subscriber.sequence = *sequence,
                Ok(OfferResult::Blocked) => {}
                Err(_) => broken.push(subscriber.client),
            }
            if client.blocked_since.is_some() {
                on_blocked(subscriber.client, client);
            }
        }
        broken
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Converts a key to an index. Keys have 32 bits, and so has `usize` on every machine with epoll.
fn index(key: u32) -> usize {
    usize::try_from(key).unwrap_or(usize::MAX)
}

/// Writes once; returns the number of bytes accepted, 0 if the socket is full.
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
