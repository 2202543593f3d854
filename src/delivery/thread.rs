//! The loop of a delivery thread: what sockets say, what groups say, what is due.

use std::io::{self, ErrorKind, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::client::Client;
use super::clients::Clients;
use super::groups::Groups;
use super::port::{self, Order, Port};
use super::timers::{Millis, Timers};
use super::{Close, Exchange, Newcomer, Said, Service, Settings};
use crate::clock::Clock;
use crate::websocket::{self, Incoming, Inflater, Opcode, Rules};
use crate::{failpoint, metrics};

/// What the poller calls our own port.
const PORT: Token = Token(usize::MAX);

/// Events taken at once.
const EVENTS: usize = 1024;

/// What all clients of a thread are read into, one after the other.
const BUFFER_BYTES: usize = 16 << 10;

/// Reads of one client in a row, so that one who floods us gives the others their turn.
const READS_MAX: usize = 16;

/// A thread that fails more often than this within [`FAILURES_WITHIN`] is not started again.
const FAILURES_MAX: usize = 3;

/// See [`FAILURES_MAX`].
const FAILURES_WITHIN: Duration = Duration::from_secs(60);

/// What the kernel may hold for a client on its way in.
const RECEIVE_BUFFER_BYTES: usize = 16 << 10;

/// See the module.
pub(super) struct Thread {
    pub(super) settings: Settings,
    clock: Clock,
    service: Arc<dyn Service>,
    poll: Poll,
    port: Arc<Port>,
    pub(super) clients: Clients,
    pub(super) groups: Groups,
    pub(super) timers: Timers,
    buffer: Box<[u8]>,
    /// Clients that have more to read, after the others' turn.
    unread: Vec<u32>,
    inflater: Inflater,
    pub(super) now: Millis,
    order: Order,
}

/// Starts a thread within this runtime. `failed` is cancelled if it ends for good before it is told to.
pub(super) fn start(
    number: usize,
    settings: Settings,
    clock: Clock,
    service: Arc<dyn Service>,
    failed: CancellationToken,
) -> io::Result<(Arc<Port>, JoinHandle<()>)> {
    let (poll, port) = port::open(PORT)?;
    let runtime = Handle::current();
    let own = port.clone();
    let handle = std::thread::Builder::new().name(format!("delivery-{number}")).spawn(move || {
        let _runtime = runtime.enter();
        let new = |poll| Thread::new(settings.clone(), clock.clone(), service.clone(), poll, own.clone());
        if let Err(error) = supervise(number, poll, &own, new, &clock) {
            error!(thread = number, %error, "a delivery thread can't be started again");
            failed.cancel();
        }
        own.order(Order::Ended);
    })?;
    Ok((port, handle))
}

/// Runs a thread until it is told to end. After a failure its clients are closed, and it begins anew with a new poller.
///
/// # Errors
/// If it failed too often, or there is no new poller.
fn supervise(number: usize, poll: Poll, port: &Port, new: impl Fn(Poll) -> Thread, clock: &Clock) -> io::Result<()> {
    let mut failures = Vec::new();
    let mut thread = new(poll);
    loop {
        let ended = catch_unwind(AssertUnwindSafe(|| thread.run()));
        let reason = match ended {
            Ok(Ok(())) if thread.order >= Order::Close => return Ok(()),
            Ok(Ok(())) => "it returned".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "panic".to_owned(),
        };
        let clients = thread.clients.drain();
        let count = clients.len();
        // What a panic left half done may panic once more while it is dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(thread)));
        error!(
            thread = number,
            reason,
            clients = count,
            "a delivery thread failed; its clients are closed with code 3011"
        );
        let now = clock.monotonic();
        failures.retain(|at| now.saturating_sub(*at) < FAILURES_WITHIN);
        failures.push(now);
        if failures.len() > FAILURES_MAX {
            return Err(io::Error::other(format!("it failed {} times in a minute", failures.len())));
        }
        thread = new(port.reopen(PORT, count)?);
        clients.into_iter().for_each(|client| thread.close_after_failure(client));
    }
}

impl Thread {
    fn new(settings: Settings, clock: Clock, service: Arc<dyn Service>, poll: Poll, port: Arc<Port>) -> Self {
        Self {
            settings,
            now: millis(clock.monotonic()),
            clock,
            service,
            poll,
            groups: Groups::new(port.clone()),
            port,
            clients: Clients::default(),
            timers: Timers::default(),
            buffer: vec![0; BUFFER_BYTES].into(),
            unread: Vec::new(),
            inflater: Inflater::default(),
            order: Order::Deliver,
        }
    }

    /// Takes over a client of the thread that failed, to tell it to come back.
    fn close_after_failure(&mut self, client: Client) {
        let mut client = client.without_subscriptions();
        let key = self.clients.reserve();
        if self.register(key, &mut client.stream).is_err() {
            return self.end(key, client, true);
        }
        self.begin_to_close(key, client, Close::Failure);
    }

    fn register(&self, key: u32, stream: &mut mio::net::TcpStream) -> io::Result<()> {
        self.poll.registry().register(stream, self.clients.token(key), Interest::READABLE | Interest::WRITABLE)
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        while self.order < Order::Close || (self.order == Order::Close && !self.clients.is_empty()) {
            let wait = match self.timers.next() {
                _ if !self.unread.is_empty() => Some(Duration::ZERO),
                next => next.map(|at| Duration::from_millis(at.saturating_sub(self.now).max(1))),
            };
            if let Err(error) = self.poll.poll(&mut events, wait)
                && error.kind() != ErrorKind::Interrupted
            {
                return Err(error);
            }
            if failpoint::is_hit("delivery") {
                return Ok(());
            }
            self.look_at_clock();
            for key in std::mem::take(&mut self.unread) {
                self.read_on(key);
            }
            for event in &events {
                if let Some(key) = self.clients.key(event.token()) {
                    self.ready(key, event);
                }
            }
            if events.iter().any(|event| event.token() == PORT) {
                self.look_into_port();
            }
            self.look_at_clock();
            while let Some((at, key)) = self.timers.due(self.now) {
                self.due(key, at);
            }
        }
        Ok(())
    }

    pub(super) fn look_at_clock(&mut self) {
        self.now = millis(self.clock.monotonic());
    }

    fn look_into_port(&mut self) {
        let inbox = self.port.take();
        for newcomer in inbox.newcomers {
            self.admit(newcomer);
        }
        for group in inbox.changed {
            self.look_at_clock();
            self.deliver(group);
        }
        if inbox.order > self.order {
            self.order = inbox.order;
            if self.order == Order::Close {
                for key in self.clients.keys() {
                    if let Some(client) = self.clients.take(key) {
                        self.settle(key, client, Err(Close::Shutdown));
                    }
                }
            }
        }
    }

    fn admit(&mut self, newcomer: Newcomer) {
        let Newcomer { stream, read, deflate, guard, begin } = newcomer;
        let socket = socket2::SockRef::from(&stream);
        // What they hold counts for a client too. Where that can't be said, the kernel's own limits hold.
        let _ = socket.set_send_buffer_size(self.settings.send_buffer_bytes);
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
        // A deadline of the kernel's would end a stream without a word; ours says why.
        #[cfg(target_os = "linux")]
        let _ = socket.set_tcp_user_timeout(None);
        let mut stream = mio::net::TcpStream::from_std(stream);
        let key = self.clients.reserve();
        if let Err(error) = self.register(key, &mut stream) {
            warn!(%error, "a client can't be watched and is cut off");
            self.clients.release(key);
            self.port.left();
            return;
        }
        let mut client = Client::new(stream, guard, deflate);
        if let Some(within) = self.settings.subscribe_within {
            client.subscribe_by = self.now + millis(within);
        }
        // Spread, so that clients that came together are not pinged together.
        let first = rand::random_range(1..=millis(self.settings.ping_every).max(1));
        client.ping_at = super::beat::ping_at(self.now + first);
        let mut result = self.converse(key, &mut client, begin);
        if result.is_ok() && !read.is_empty() {
            result = self.take_in(key, &mut client, &read);
        }
        self.settle(key, client, result);
    }

    fn ready(&mut self, key: u32, event: &mio::event::Event) {
        let Some(mut client) = self.clients.take(key) else { return };
        client.is_readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        let mut result = Ok(());
        if event.is_writable() && client.blocked_at.is_some() {
            result = self.unblock(&mut client);
        }
        if client.blocked_at.is_some() && event.is_read_closed() {
            // It neither takes what we say nor says anything more.
            result = Err(Close::Broken);
        }
        let result = result.and_then(|()| self.read(key, &mut client));
        self.settle(key, client, result);
    }

    fn read_on(&mut self, key: u32) {
        let Some(mut client) = self.clients.take(key) else { return };
        let result = self.read(key, &mut client);
        self.settle(key, client, result);
    }

    /// Writes the rest of what was begun, and then what is newest.
    fn unblock(&mut self, client: &mut Client) -> Result<(), Close> {
        if !client.flush(self.now)? {
            return Ok(());
        }
        client.unblock(self.now);
        if client.closing_by.is_some() {
            return Ok(());
        }
        for at in 0..client.subscriptions.len() {
            let Some((group, position)) = client.subscriptions.get(at).map(|one| (one.group, one.position)) else {
                continue;
            };
            let Some(place) = self.groups.place_mut(group, position) else { continue };
            let Some((sequence, messages)) = place.member.step(place.seen) else { continue };
            if sequence > place.seen
                && client.offer(messages.frames(client.deflate), self.now)? == super::client::Taken::Begun
            {
                place.seen = sequence;
            }
        }
        Ok(())
    }

    /// Reads all there is, unless what it would be answered has to wait.
    fn read(&mut self, key: u32, client: &mut Client) -> Result<(), Close> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.read_into(&mut buffer, key, client);
        self.buffer = buffer;
        result
    }

    fn read_into(&mut self, buffer: &mut [u8], key: u32, client: &mut Client) -> Result<(), Close> {
        if !client.inbound.is_empty() && client.blocked_at.is_none() {
            // Whole messages may have been left there when it was blocked.
            self.take_in(key, client, &[])?;
        }
        for _ in 0..READS_MAX {
            if !client.is_readable || (client.blocked_at.is_some() && client.closing_by.is_none()) {
                return Ok(());
            }
            match client.stream.read(buffer) {
                Ok(0) => return Err(Close::Broken),
                Ok(count) => {
                    // Less than there was room for is all there was; what comes after it is a new event.
                    client.is_readable = count == buffer.len();
                    self.take_in(key, client, buffer.get(..count).unwrap_or_default())?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => client.is_readable = false,
                Err(error) => return Err(error.into()),
            }
        }
        if client.closing_by.is_some() {
            // It was told to stop, and goes on as fast as it can.
            return Err(Close::TooMany);
        }
        self.unread.push(key);
        Ok(())
    }

    /// Answers what was read.
    fn take_in(&mut self, key: u32, client: &mut Client, read: &[u8]) -> Result<(), Close> {
        if client.is_deaf {
            return Ok(());
        }
        let bytes = client.inbound.join(read);
        let rules = Rules { message_bytes_max: self.settings.message_bytes_max, deflate: client.deflate };
        let mut at = 0;
        while client.blocked_at.is_none() || client.closing_by.is_some() {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some((length, incoming)) = client.inbound.read(rest, rules, &mut self.inflater)? else { break };
            at += length;
            self.hear(key, client, incoming)?;
        }
        client.inbound.hold(bytes.get(at..).unwrap_or_default());
        Ok(())
    }

    fn hear(&mut self, key: u32, client: &mut Client, incoming: Incoming) -> Result<(), Close> {
        match incoming {
            Incoming::Close(code) => {
                client.has_closed = true;
                return Err(Close::Left(code));
            }
            _ if client.closing_by.is_some() => return Ok(()),
            Incoming::Pong if client.pong_by.take().is_some() => return Ok(()),
            _ => {}
        }
        if client.sends_too_much(self.now, self.settings.messages_per_second_max) {
            return Err(Close::TooMany);
        }
        match incoming {
            Incoming::Ping(payload) => {
                client.send([websocket::control_frame(Opcode::Pong, &payload).into()], self.now)?;
                Ok(())
            }
            Incoming::Text(text) => {
                let service = self.service.clone();
                self.converse(key, client, |exchange| service.message(exchange, Said::Text(&text)))
            }
            Incoming::Binary(bytes) => {
                let service = self.service.clone();
                self.converse(key, client, |exchange| service.message(exchange, Said::Binary(&bytes)))
            }
            Incoming::Fragment | Incoming::Pong | Incoming::Close(_) => Ok(()),
        }
    }

    /// Lets the service speak with a client. Should it break down, the client is told, and no other is harmed.
    fn converse(
        &mut self,
        key: u32,
        client: &mut Client,
        talk: impl FnOnce(&mut Exchange<'_>) -> Result<(), Close>,
    ) -> Result<(), Close> {
        let Self { clients, groups, .. } = self;
        let mut exchange = Exchange { key, client, clients, groups, parts: Vec::new() };
        let said = catch_unwind(AssertUnwindSafe(|| talk(&mut exchange))).unwrap_or(Err(Close::Failed));
        let parts = std::mem::take(&mut exchange.parts);
        client.send(parts, self.now)?;
        said
    }

    /// Puts a client back where it was, or ends it.
    pub(super) fn settle(&mut self, key: u32, mut client: Client, result: Result<(), Close>) {
        match result {
            Ok(()) => {
                self.arm(key, &mut client);
                self.clients.put(key, client);
            }
            Err(close) if client.closing_by.is_none() => self.begin_to_close(key, client, close),
            // It is being closed already; now the other side has closed as well, or said something odd.
            Err(Close::Left(_) | Close::Broken) if !client.has_rest() => self.end(key, client, false),
            Err(Close::Broken | Close::TooMany) => self.end(key, client, true),
            Err(_) => {
                client.is_deaf = true;
                self.clients.put(key, client);
            }
        }
    }

    fn begin_to_close(&mut self, key: u32, mut client: Client, close: Close) {
        client.leave_all(&mut self.groups, &mut self.clients);
        let (code, reason) = close.code();
        debug!(code, reason, "stream closed");
        metrics::stream_closed(code, matches!(close, Close::Left(_) | Close::Broken));
        let Some(frame) = close.frame() else { return self.end(key, client, false) };
        let mut parts = Vec::new();
        if close == Close::Shutdown {
            let mut farewell = Vec::new();
            websocket::text_frame(&mut farewell, &self.service.farewell(), client.deflate);
            parts.push(farewell.into());
        }
        parts.push(frame.into());
        client.closing_by = Some(self.now + millis(self.settings.close_within));
        client.is_deaf = matches!(close, Close::Protocol | Close::TooLong | Close::NotUtf8);
        let sent = client.send(parts, self.now);
        if sent.is_err() || (client.has_closed && !client.has_rest()) {
            return self.end(key, client, false);
        }
        if client.is_deaf && !client.has_rest() {
            // Nothing more is said to one that broke the protocol. It is read on, since what is left unread would
            // make the kernel take our last words back.
            let _ = client.stream.shutdown(std::net::Shutdown::Write);
        }
        self.arm(key, &mut client);
        self.clients.put(key, client);
    }

    /// Lets go of a client; `abort` also of what the kernel still holds for it.
    pub(super) fn end(&mut self, key: u32, mut client: Client, abort: bool) {
        client.leave_all(&mut self.groups, &mut self.clients);
        let _ = self.poll.registry().deregister(&mut client.stream);
        if abort {
            let _ = socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO));
        } else {
            let _ = client.stream.shutdown(std::net::Shutdown::Write);
        }
        drop(client);
        self.clients.release(key);
        self.port.left();
    }
}

pub(super) fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
