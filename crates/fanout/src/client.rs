//! Per-client state: socket, subscriptions, deadlines. Allocates no buffer while idle.

use std::any::Any;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write as _};

use bytes::{Buf as _, Bytes};
use mio::net::TcpStream;

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
